# SPDX-License-Identifier: MIT
# How this was checked, and what was never built: nixos/README.md.
{
  description = "Strata: capabilities, named service states, gated files and sandboxes on systemd";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

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
      module = self.nixosModules.strata;

      # strata-vm-x86_64, strata-iso-aarch64 …
      machine =
        kind: system:
        lib.nameValuePair "strata-${kind}-${lib.removeSuffix "-linux" system}" (
          lib.nixosSystem {
            inherit system;
            modules = [
              module
              ./nixos/machines/common.nix
              ./nixos/machines/${kind}.nix
            ];
          }
        );
    in
    {
      packages = each (
        pkgs:
        let
          inherit (packagesOf pkgs) strata pystemd pyseto;
        in
        {
          inherit strata pystemd pyseto;
          default = strata;
          # The predecessor built one program for each of these; all of them are this one package.
          strata-ctl = strata;
          supervisor = strata;
          registry = strata;
          identity = strata;
          fs = strata;
          options-doc = (import ./nixos/options.nix { inherit pkgs; }).optionsCommonMark;
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
      nixosModules.default = module;

      nixosConfigurations = lib.listToAttrs (
        map (machine "vm") systems ++ map (machine "iso") systems
      );

      # Those of tests/vm need a builder with KVM.
      checks = each (
        pkgs:
        import ./nixos/checks.nix {
          inherit pkgs;
          inherit (packagesOf pkgs) strata;
          options = self.packages.${pkgs.stdenv.hostPlatform.system}.options-doc;
        }
        // import ./tests/vm { inherit pkgs module; }
      );

      devShells = each (pkgs: {
        default = import ./nixos/shell.nix {
          inherit pkgs;
          inherit (packagesOf pkgs) strata;
        };
      });

      formatter = each (pkgs: pkgs.nixfmt-tree);
    };
}
