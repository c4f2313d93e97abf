# SPDX-License-Identifier: MIT
# Packages as far as evaluation goes: derivations that say what would be built. A name that nixpkgs lacks is lacking here.
system:
let
  lib = import ./lib.nix;
  fake =
    name: more:
    derivation {
      inherit name system;
      builder = "/bin/sh";
      args = [ "-c" "exit 1" ];
    }
    // {
      pname = name;
      version = "0";
    }
    // more;
  ofNames = names: lib.genAttrs names (name: fake name { });

  pythonPackages =
    ofNames [
      "setuptools"
      "click"
      "jinja2"
      "msgspec"
      "pynacl"
      "pystemd"
      "uvloop"
      "grpclib"
      "h2"
      "httptools"
      "mcp"
      "protobuf"
      "starlette"
      "uvicorn"
      "websockets"
      "argon2-cffi"
      "cryptography"
      "iso8601"
      "pycryptodomex"
    ]
    // {
      inherit lib;
      # As nixpkgs does, refuse what is no derivation among the dependencies.
      buildPythonPackage =
        {
          pname,
          version,
          src,
          dependencies ? [ ],
          ...
        }@arguments:
        if !lib.all lib.isDerivation dependencies then
          throw "${pname}: a dependency is no package"
        else
          builtins.seq "${src}" (fake "${pname}-${version}" { inherit pname version dependencies arguments; });
      fetchPypi =
        {
          pname,
          version,
          hash,
          ...
        }:
        derivation {
          name = "${pname}-${version}";
          inherit system;
          builder = "builtin:fetchurl";
          outputHash = hash;
          outputHashMode = "flat";
        };
      callPackage =
        file: given:
        let
          f = import file;
        in
        f (builtins.intersectAttrs (builtins.functionArgs f) pythonPackages // given);
    };
in
ofNames [
  "curl"
  "git"
  "ruff"
  "mypy"
]
// {
  inherit lib system;
  stdenv.hostPlatform = { inherit system; };
  python3 = fake "python3" {
    pkgs = pythonPackages;
    withPackages = choose: fake "python3-env" { chosen = choose pythonPackages; };
  };
  runCommand =
    name: arguments: script:
    builtins.seq "${script}" (fake name (arguments.passthru or { } // { meta = arguments.meta or { }; }));
  mkShell = arguments: builtins.seq "${toString arguments.packages}" (fake "shell" { });
  formats.toml = _: {
    type = lib.types.toml;
    generate = name: value: builtins.seq (builtins.toJSON value) (fake name { inherit value; });
  };
}
