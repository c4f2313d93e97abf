# SPDX-License-Identifier: MIT
# Strata, and the one library of it that nixpkgs lacks.
{ pkgs }:
let
  python = pkgs.python3;
  pyseto = python.pkgs.callPackage ./pyseto.nix { };
  library = python.pkgs.callPackage ./library.nix { inherit pyseto; };
  pythonEnv = python.withPackages (_: [ library ]);
in
{
  inherit pyseto;

  # strata-python is the interpreter that services run with: it finds Strata and its libraries.
  strata =
    pkgs.runCommand "strata-${library.version}"
      {
        passthru = { inherit library pythonEnv; };
        meta = {
          description = "Capabilities, named service states and gated files on systemd";
          mainProgram = "strata-ctl";
          platforms = [
            "x86_64-linux"
            "aarch64-linux"
          ];
        };
      }
      ''
        mkdir -p $out/bin
        ln -s ${pythonEnv}/bin/strata-ctl $out/bin/strata-ctl
        ln -s ${pythonEnv}/bin/python3 $out/bin/strata-python
      '';
}
