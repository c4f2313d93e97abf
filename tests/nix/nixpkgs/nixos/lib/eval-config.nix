# SPDX-License-Identifier: MIT
# A NixOS machine of our few options.
{
  lib ? import ../../lib,
  system ? builtins.currentSystem,
  modules,
  baseModules ? import ../modules/module-list.nix,
  specialArgs ? { },
  prefix ? [ ],
  pkgs ? null,
}:
lib.evalModules {
  inherit prefix;
  class = "nixos";
  specialArgs = {
    modulesPath = toString ../modules;
  } // specialArgs;
  modules =
    baseModules
    ++ [
      {
        _file = "nixos/lib/eval-config.nix";
        config = lib.mkMerge [
          (lib.optionalAttrs (system != null) { nixpkgs.system = lib.mkDefault system; })
          (lib.optionalAttrs (pkgs != null) { nixpkgs.pkgs = lib.mkForce pkgs; })
        ];
      }
    ]
    ++ modules;
}
