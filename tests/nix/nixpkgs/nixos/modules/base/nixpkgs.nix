# SPDX-License-Identifier: MIT
# Where packages come from.
{
  config,
  lib,
  options,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.nixpkgs;
in
{
  key = "nixpkgs";
  options.nixpkgs = {
    pkgs = mkOption { type = types.raw; };
    overlays = mkOption {
      type = types.listOf types.raw;
      default = [ ];
    };
    config = mkOption {
      type = types.attrs;
      default = { };
    };
    system = mkOption { type = types.str; };
    hostPlatform = mkOption { type = types.either types.str types.attrs; };
  };
  config._module.args.pkgs = lib.mkOverride 1500 (
    if options.nixpkgs.pkgs.isDefined then
      cfg.pkgs
    else
      import ../../.. {
        inherit (cfg) overlays config;
        system = if options.nixpkgs.hostPlatform.isDefined then cfg.hostPlatform.system or cfg.hostPlatform else cfg.system;
      }
  );
}
