# SPDX-License-Identifier: MIT
# The NixOS options that our modules set, with NixOS' types.
{ lib, config, ... }:
let
  inherit (lib) mkOption types;
  of =
    type: default:
    mkOption { inherit type default; };
  unitOptions = {
    description = of types.str "";
    unitConfig = of (types.attrsOf types.unitValue) { };
    wantedBy = of (types.listOf types.str) [ ];
    after = of (types.listOf types.str) [ ];
    restartTriggers = of (types.listOf types.raw) [ ];
    reloadTriggers = of (types.listOf types.raw) [ ];
  };
  etc = types.submodule {
    options.source = mkOption { type = types.path; };
  };
in
{
  options = {
    assertions = of (types.listOf types.raw) [ ];
    warnings = of (types.listOf types.str) [ ];
    environment.systemPackages = of (types.listOf types.package) [ ];
    environment.etc = of (types.attrsOf etc) { };
    networking.hostName = of types.str "nixos";
    time.timeZone = of (types.nullOr types.str) null;
    system.stateVersion = mkOption { type = types.str; };
    system.build = of (types.lazyAttrsOf types.raw) { };
    services.getty.autologinUser = of (types.nullOr types.str) null;
    users.users = of (types.attrsOf (
      types.submodule {
        options.password = of (types.nullOr types.str) null;
        options.initialHashedPassword = of (types.nullOr types.str) null;
      }
    )) { };
    systemd.tmpfiles.rules = of (types.listOf types.str) [ ];
    systemd.services = of (types.attrsOf (
      types.submodule {
        options = unitOptions // {
          environment = of (types.attrsOf (types.nullOr types.unitValue)) { };
          serviceConfig = of (types.attrsOf types.unitValue) { };
        };
      }
    )) { };
    systemd.slices = of (types.attrsOf (
      types.submodule {
        options = unitOptions // {
          sliceConfig = of (types.attrsOf types.unitValue) { };
        };
      }
    )) { };
  };
  config.system.build.toplevel = derivation {
    name = "nixos-system-${config.networking.hostName}-${config.system.stateVersion}";
    system = "x86_64-linux";
    builder = "/bin/sh";
    parts = builtins.toJSON [
      config.systemd.services
      config.systemd.slices
      config.systemd.tmpfiles.rules
      config.environment.etc
      config.environment.systemPackages
    ];
  };
}
