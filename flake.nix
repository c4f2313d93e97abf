# SPDX-License-Identifier: MIT
# How this was checked, and what was never built: nixos/README.md.
{
  description = "Strata: capabilities, named service states and gated files on systemd";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.11";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      each = make: lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
      packagesOf = pkgs: import ./nixos/packages { inherit pkgs; };
      machine =
        module:
        lib.nixosSystem {
          system = "x86_64-linux";
          modules = [
            self.nixosModules.strata
            ./nixos/machines/common.nix
            module
          ];
        };
    in
    {
      packages = each (
        pkgs:
        let
          inherit (packagesOf pkgs) strata pyseto;
        in
        {
          inherit strata pyseto;
          default = strata;
          # The predecessor built one program for each of these; all of them are this one package.
          strata-ctl = strata;
          supervisor = strata;
          registry = strata;
          identity = strata;
          fs = strata;
        }
      );

      overlays.default = final: _prev: { inherit (packagesOf final) strata; };

      # No overlay is set here: a module that sets nixpkgs.overlays cannot be used in a NixOS test.
      nixosModules.strata =
        { lib, pkgs, ... }:
        {
          imports = [ ./nixos/modules ];
          services.strata.package = lib.mkDefault self.packages.${pkgs.stdenv.hostPlatform.system}.strata;
        };
      nixosModules.default = self.nixosModules.strata;

      nixosConfigurations = {
        strata-vm-x86_64 = machine ./nixos/machines/vm.nix;
        strata-iso-x86_64 = machine ./nixos/machines/iso.nix;
      };

      devShells = each (pkgs: {
        default = pkgs.mkShell {
          packages = [
            (packagesOf pkgs).strata.pythonEnv
            pkgs.ruff
            pkgs.mypy
          ];
        };
      });
    };
}
