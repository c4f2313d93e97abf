# SPDX-License-Identifier: MIT
# What concerns all of Strata. What one part of it can be told is in the file of that part.
{ lib, pkgs, ... }:
let
  inherit (lib) mkEnableOption mkOption types;
  inherit (import ./types.nix { inherit lib; }) unsaid;
in
{
  options.services.strata = {
    enable = mkEnableOption "Strata, a systemd-native orchestrator: capabilities, named service states, sandboxes";

    package = mkOption {
      type = types.package;
      defaultText = lib.literalExpression "strata.packages.\${system}.strata";
      description = "The package that everything runs from: it has {file}`bin/strata-ctl` and {file}`bin/strata-python`.";
    };

    nodeId = mkOption {
      type = types.strMatching "[^[:space:]]+";
      default = "local-0";
      example = "host-7";
      description = "Name of this node; it stands in tokens as `identity@NODE`.";
    };

    runtimeDir = mkOption {
      type = types.strMatching "/[^[:space:]:]*[^/[:space:]:]";
      default = "/run/strata";
      description = "Directory of the sockets. One below {file}`/run` is made by systemd, another one by systemd-tmpfiles.";
    };

    operators = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "alice" ];
      description = ''
        Users who may do what root may with {command}`strata-ctl`, without a token: members of the group `strata`.
        They are as good as root: by a token that they issue themselves fs reads every file, and writes those of root's home.
      '';
    };

    settings = mkOption {
      type = types.submodule {
        freeformType = (pkgs.formats.toml { }).type;
        options.log_level = unsaid (types.enum [
          "debug"
          "info"
          "warning"
          "error"
        ]) { description = "How much is told in the journal; `null` is `info`."; };
      };
      default = { };
      example = {
        fs.strict_paths = true;
        identity.max_ttl_seconds = 86400;
      };
      description = ''
        {file}`/etc/strata/strata.toml`, with the keys of {file}`docs/manifest.md`; it is checked when the system is built.
        A change restarts the supervisor, which restarts the parts of Strata that the change concerns, and no service of yours.
        It is in the Nix store, which everybody can read: secrets are named as files.
      '';
    };
  };
}
