# SPDX-License-Identifier: MIT
# The whole system: it is refused where an assertion fails, and warnings are said.
{
  config,
  extendModules,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  of = type: default: mkOption { inherit type default; };
  failed = map (one: one.message) (lib.filter (one: !one.assertion) config.assertions);
  children = lib.mapAttrs (_: one: one.configuration.system.build.toplevel) config.specialisation;
  parts = builtins.toJSON {
    inherit (config.systemd) units;
    inherit (config.systemd.tmpfiles) rules settings;
    inherit (config.environment) systemPackages variables;
    inherit (config) networking users boot security services;
    etc = config.system.build.etc;
    specialisation = children;
  };
  system = derivation {
    name = "nixos-system-${config.networking.hostName}-${config.system.stateVersion}";
    inherit (pkgs.stdenv.hostPlatform) system;
    builder = "/bin/sh";
    args = [ "-c" "printf %s \"$parts\" > $out" ];
    inherit parts;
  };
in
{
  options = {
    assertions = of (types.listOf types.unspecified) [ ];
    warnings = of (types.listOf types.str) [ ];
    system.stateVersion = mkOption { type = types.str; };
    system.build = of (types.submodule { freeformType = types.lazyAttrsOf types.raw; }) { };
    system.extraDependencies = of (types.listOf types.pathInStore) [ ];
    system.checks = of (types.listOf types.package) [ ];
    isSpecialisation = of types.bool false;
    specialisation = of (types.attrsOf (
      types.submodule {
        options.inheritParentConfig = of types.bool true;
        options.configuration = mkOption {
          default = { };
          inherit
            (extendModules {
              modules = [
                {
                  isSpecialisation = lib.mkOverride 0 true;
                  specialisation = lib.mkOverride 0 { };
                }
              ];
            })
            type
            ;
        };
      }
    )) { };
  };
  config.system.build.toplevel =
    if failed != [ ] then
      throw "\nFailed assertions:\n${lib.concatMapStringsSep "\n" (one: "- ${one}") failed}"
    else
      lib.foldl' (value: warning: lib.warn warning value) system config.warnings;
}
