# SPDX-License-Identifier: MIT
{
  lib,
  buildPythonPackage,
  setuptools,
  click,
  jinja2,
  msgspec,
  pynacl,
  pyseto,
  pystemd,
  uvloop,
}:
buildPythonPackage {
  pname = "strata";
  # The one place where the version stands is the package itself.
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

  build-system = [ setuptools ];
  dependencies = [
    click
    jinja2
    msgspec
    pynacl
    pyseto
    pystemd
    uvloop
  ];

  # The tests need a systemd that runs, which a build has not.
  doCheck = false;
  pythonImportsCheck = [
    "strata.cli.main"
    "strata.supervisor.main"
    "strata.identity.main"
  ];
}
