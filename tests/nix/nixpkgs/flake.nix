# SPDX-License-Identifier: MIT
# A stand-in for nixpkgs: just enough of its lib, packages and NixOS options to evaluate our flake offline, and strict
# where the real one is strict (unknown option, wrong type, missing value, assertions). It builds nothing.
{
  outputs =
    { self }:
    {
      lib = import ./lib.nix // {
        nixosSystem = import ./nixos/system.nix self;
      };
      legacyPackages = (import ./lib.nix).genAttrs [
        "x86_64-linux"
        "aarch64-linux"
      ] (system: import ./pkgs.nix system);
    };
}
