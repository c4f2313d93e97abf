# SPDX-License-Identifier: MIT
# Options of Strata 0.3 that still evaluate.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.strata;
  names = [
    "registryPackage"
    "identityPackage"
    "fsPackage"
  ];
in
{
  options.services.strata = lib.genAttrs names (
    _:
    mkOption {
      type = types.nullOr types.package;
      default = null;
      description = "Accepted for configurations of Strata 0.3, and without effect: every service runs from `package`.";
    }
  );

  config.warnings = map (
    name: "services.strata.${name} has no effect: every service runs from services.strata.package. Leave it out."
  ) (lib.filter (name: cfg.enable && cfg.${name} != null) names);
}
