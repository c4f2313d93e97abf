# SPDX-License-Identifier: MIT
# Strata as a Python library. What it is called, its version and what it needs stand in the project itself.
{
  lib,
  buildPythonPackage,
  setuptools,
  libseccomp,
  libraries,
}:
let
  inherit (lib.importTOML ../../pyproject.toml) project;
  nameOf = requirement: builtins.head (builtins.match "([A-Za-z0-9._-]+).*" requirement);
in
buildPythonPackage {
  pname = project.name;
  version = builtins.head (
    builtins.match ".*__version__ = \"([^\"]*)\".*" (builtins.readFile ../../strata/__init__.py)
  );
  pyproject = true;

  src = lib.fileset.toSource {
    root = ../..;
    fileset = lib.fileset.unions [
      ../../strata
      ../../pyproject.toml
      ../../README.md
      ../../LICENSE
    ];
  };

  # The loader finds no library by its name alone here.
  postPatch = ''
    substituteInPlace strata/sandbox/seccomp.py \
      --replace-fail '"libseccomp.so.2"' '"${lib.getLib libseccomp}/lib/libseccomp.so.2"'
  '';

  build-system = [ setuptools ];
  dependencies = map (requirement: libraries.${nameOf requirement}) project.dependencies;

  # The tests need a systemd that runs, which a build has not; `checks` runs those that do not.
  doCheck = false;
  pythonImportsCheck = [
    "strata.cli.main"
    "strata.supervisor.main"
    "strata.identity.main"
    "strata.sandbox.main"
    "strata.api.main"
  ];
}
