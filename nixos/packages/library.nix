# SPDX-License-Identifier: MIT
{
  lib,
  buildPythonPackage,
  setuptools,
  click,
  grpclib,
  h2,
  httptools,
  jinja2,
  mcp,
  msgspec,
  protobuf,
  pynacl,
  pyseto,
  pystemd,
  starlette,
  uvicorn,
  uvloop,
  websockets,
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
    grpclib
    h2
    httptools
    jinja2
    mcp
    msgspec
    protobuf
    pynacl
    pyseto
    pystemd
    starlette
    uvicorn
    uvloop
    websockets
  ];

  # The tests need a systemd that runs, which a build has not.
  doCheck = false;
  pythonImportsCheck = [
    "strata.cli.main"
    "strata.supervisor.main"
    "strata.identity.main"
    "strata.sandbox.main"
    "strata.api.main"
  ];
}
