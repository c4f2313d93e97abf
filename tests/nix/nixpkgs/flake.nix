# SPDX-License-Identifier: MIT
# A stand-in for nixpkgs: just enough of its lib, packages and NixOS options to evaluate our flake offline, and strict
# where the real one is strict. Its files lie where nixpkgs has them, so an expression that imports them runs on both.
{
  outputs =
    { self }:
    let
      lib = import ./lib;
    in
    {
      lib = lib // {
        nixosSystem =
          arguments:
          import ./nixos/lib/eval-config.nix (
            {
              lib = self.lib;
              system = null;
            }
            // arguments
          );
      };
      legacyPackages = lib.genAttrs [
        "x86_64-linux"
        "aarch64-linux"
      ] (system: import ./. { inherit system; });
    };
}
