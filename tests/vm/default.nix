# SPDX-License-Identifier: MIT
# The tests of this directory as NixOS tests: NAME.nix with NAME's script beside it makes checks.SYSTEM.NAME.
# `checks = each (pkgs: import ./tests/vm { inherit pkgs; module = self.nixosModules.strata; })`
{ pkgs, module }:
let
  inherit (pkgs) lib;
  named =
    directory:
    map (lib.removeSuffix ".nix") (
      lib.filter (file: lib.hasSuffix ".nix" file && file != "default.nix") (
        lib.attrNames (builtins.readDir directory)
      )
    );
  # A node without a script is left out; tests/nix/test_nix_nodes.py says which.
  scripted = lib.filter (
    name: builtins.pathExists (./. + "/${name}.py") || builtins.pathExists (./nixos + "/${name}.py")
  ) (named ./.);
  # Those of long/ take minutes. To Nix they are checks as the others are.
  long = map (name: "long/${name}") (named ./long);
  check =
    name:
    pkgs.testers.runNixOSTest {
      imports = [ (./. + "/${name}.nix") ];
      # What the Debian machine of tests/vm/driver is, too.
      defaults = {
        imports = [ module ];
        services.strata.enable = true;
        virtualisation.memorySize = 2048;
        virtualisation.cores = 2;
        virtualisation.graphics = false;
        environment.systemPackages = [
          pkgs.curl
          pkgs.jq
          pkgs.python3
        ];
      };
    };
in
lib.listToAttrs (map (name: lib.nameValuePair (baseNameOf name) (check name)) (scripted ++ long))
