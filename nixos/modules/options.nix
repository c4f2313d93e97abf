# SPDX-License-Identifier: MIT
# What a configuration may say. The keys of `settings` and `services` are those of docs/manifest.md.
{ lib, pkgs, ... }:
let
  inherit (lib) mkEnableOption mkOption types;
  toml = (pkgs.formats.toml { }).type;
  unused =
    service:
    mkOption {
      type = types.nullOr types.package;
      default = null;
      description = "Accepted for configurations of Strata 0.3. ${service} is part of `package`, and this has no effect.";
    };
in
{
  options.services.strata = {
    enable = mkEnableOption "Strata, a capability runtime on systemd";

    package = mkOption {
      type = types.package;
      description = "The package that everything runs from: it has bin/strata-ctl and bin/strata-python.";
    };

    nodeId = mkOption {
      type = types.strMatching "[^[:space:]]+";
      default = "local-0";
      description = "Name of this node; it stands in tokens as `identity@NODE`.";
    };

    runtimeDir = mkOption {
      type = types.strMatching "/[^[:space:]:]*[^/[:space:]:]";
      default = "/run/strata";
      description = "Where the sockets are.";
    };

    settings = mkOption {
      type = toml;
      default = { };
      example = {
        operators.gids = [ 100 ];
      };
      description = "strata.toml. A change restarts Strata.";
    };

    services = mkOption {
      type = types.attrsOf toml;
      default = { };
      example = {
        web = {
          command = [
            "/run/current-system/sw/bin/python3"
            "-m"
            "http.server"
          ];
          profile = "sealed";
        };
      };
      description = "Services of your own, one manifest each. A change is applied by a reload: only what changed restarts.";
    };

    registryPackage = unused "registry";
    identityPackage = unused "identity";
    fsPackage = unused "fs";
  };
}
