# SPDX-License-Identifier: MIT
# Every option of the module with its type, default and description: what nixos/OPTIONS.md is written from.
{ pkgs }:
let
  inherit (pkgs) lib;
  evaluated = lib.evalModules {
    modules = [
      ./modules
      # The options of NixOS that the module sets are not there.
      { _module.check = false; }
    ];
    specialArgs = { inherit pkgs; };
  };
in
pkgs.nixosOptionsDoc {
  options = { inherit (evaluated.options) services; };
  transformOptions = option: removeAttrs option [ "declarations" ];
}
