# SPDX-License-Identifier: MIT
# Python's packages are names only. An environment of them runs the interpreter that STRATA_PYTHON names, which has them all.
{
  lib,
  build,
  system,
  all,
}:
let
  python = builtins.getEnv "STRATA_PYTHON";
  names = [
    "argon2-cffi"
    "build"
    "click"
    "cryptography"
    "cython"
    "grpclib"
    "h2"
    "hatchling"
    "httptools"
    "hypothesis"
    "iso8601"
    "jinja2"
    "lxml"
    "mcp"
    "msgspec"
    "mypy"
    "protobuf"
    "psutil"
    "pycryptodomex"
    "pynacl"
    "pystemd"
    "pytest"
    "pytest-timeout"
    "ruff"
    "setuptools"
    "starlette"
    "uvicorn"
    "uvloop"
    "websockets"
    "wheel"
  ];
  absent = pname: build.absent pname { inherit pname; version = "99"; };
  # As nixpkgs does, refuse what is no derivation among the dependencies, and a package that does not say how it is built.
  buildPythonPackage =
    arguments:
    let
      more = if lib.isFunction arguments then arguments more else arguments;
      wanted = lib.concatMap (name: more.${name} or [ ]) [
        "dependencies"
        "build-system"
        "nativeBuildInputs"
        "buildInputs"
        "nativeCheckInputs"
      ];
      name = "python3-${more.pname}-${more.version}";
    in
    if !lib.all lib.isDerivation wanted then
      throw "${name}: a dependency is no package"
    else if !(more ? pyproject || more ? format) then
      throw "${name} does not configure a `format`. To build with setuptools as before, set `pyproject = true` and `build-system = [ setuptools ]`."
    else
      (
        if lib.isDerivation more.src then
          builtins.seq "${more.src}" (build.absent name)
        else
          more': build.runCommand name { inherit (more) src; } "mkdir -p $out/${site}; cp -r $src/* $out/${site}/" // more'
      )
        (
          more.passthru or { }
          // {
            inherit (more) pname version src;
            dependencies = more.dependencies or [ ];
            meta = more.meta or { };
            overridePythonAttrs = f: buildPythonPackage (more // (if lib.isFunction f then f more else f));
          }
        );
  environment =
    chosen:
    assert lib.all lib.isDerivation chosen;
    build.runCommand "python3-env" { inherit python; } ''
      [ -n "$python" ] || { echo "STRATA_PYTHON is not set" >&2; exit 1; }
      mkdir -p $out/bin
      printf '#!/bin/sh\nexec %s "$@"\n' "$python" > $out/bin/python3
      printf '#!/bin/sh\nexec %s -P -m strata "$@"\n' "$python" > $out/bin/strata-ctl
      chmod +x $out/bin/*
      ln -s strata-ctl $out/bin/strata
      ln -s python3 $out/bin/python
    '';
  pkgs = lib.genAttrs names absent // {
    inherit lib buildPythonPackage python3;
    # A trap of nixpkgs: the real systemd is hidden in this scope.
    systemd = throw "systemd was removed because it was misnamed; use systemd-python instead";
    buildPythonApplication = buildPythonPackage;
    python = python3;
    pythonOlder = lib.versionOlder version;
    pythonAtLeast = lib.versionAtLeast version;
    fetchPypi =
      {
        pname,
        version,
        hash,
        format ? "setuptools",
        dist ? "source",
        python ? "source",
        abi ? "none",
        platform ? "any",
        extension ? "tar.gz",
      }:
      derivation {
        name = "${pname}-${version}";
        system = "builtin";
        builder = "builtin:fetchurl";
        url = "mirror://pypi/${pname}";
        outputHash = hash;
        outputHashMode = "flat";
      };
    callPackage =
      file: given:
      let
        f = if lib.isFunction file then file else import file;
        needs = lib.functionArgs f;
        known = all // pkgs // given;
        missing = lib.filter (name: !needs.${name} && !(known ? ${name})) (lib.attrNames needs);
      in
      if missing != [ ] then
        throw "Function called without required argument \"${lib.head missing}\" at ${if lib.isFunction file then "<unknown location>" else toString file}"
      else
        f (builtins.intersectAttrs needs known);
    toPythonModule = lib.id;
    toPythonApplication = lib.id;
  };
  version = "3.13.13";
  site = "lib/python3.13/site-packages";
  python3 = build.absent "python3" {
    inherit pkgs version;
    pythonVersion = "3.13";
    sitePackages = site;
    interpreter = "/absent/bin/python3";
    withPackages = choose: environment (choose pkgs);
    buildEnv.override = more: environment more.extraLibs;
    override = { packageOverrides ? (_: _: { }), ... }: python3 // { pkgs = pkgs // packageOverrides pkgs pkgs; };
    meta.mainProgram = "python3";
  };
in
python3
