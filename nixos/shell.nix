# SPDX-License-Identifier: MIT
# `nix develop`: the interpreter with all that Strata and its tests take, and the verbs that the predecessor's shell had.
{ pkgs, strata }:
let
  verb = name: text: pkgs.writeShellScriptBin name ("set -eu\n" + text);
in
pkgs.mkShell {
  packages = [
    strata.testEnv
    pkgs.ruff
    pkgs.nixfmt
    (verb "strata-build" ''exec nix build .#strata "$@"'')
    (verb "strata-run" ''
      strata-build
      exec ./result/bin/strata-ctl up "$@"
    '')
    (verb "strata-clean" ''
      if [ -x result/bin/strata-ctl ]; then result/bin/strata-ctl down; fi
      rm -f result
    '')
  ]
  ++ import ./modules/programs.nix pkgs;
}
