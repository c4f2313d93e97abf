# SPDX-License-Identifier: MIT
# What `nix flake check` builds beside the machines of tests/vm.
{
  pkgs,
  strata,
  options,
}:
let
  # The repository without what Nix does not need to know of.
  source = pkgs.lib.cleanSource ../.;
in
{
  inherit strata options;

  unit = pkgs.runCommand "strata-unit-tests" {
    nativeBuildInputs = [
      pkgs.groff
      pkgs.systemd
    ];
  } ''
    cp -r ${source} source
    chmod -R u+w source
    cd source
    export HOME=$TMPDIR
    ${strata.testEnv}/bin/python -m pytest tests/pure
    touch $out
  '';

  generated = pkgs.runCommand "strata-generated" { } ''
    cp -r ${source} source
    cd source
    ${strata.testEnv}/bin/python nixos/generate.py --check
    ${strata.testEnv}/bin/python nixos/lock.py --check
    touch $out
  '';
}
