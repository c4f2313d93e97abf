# SPDX-License-Identifier: MIT
# Options to files in /etc/strata, which the package's own checker has read before a system is built with them.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkDefault mkIf mkOption types;
  inherit (import ./types.nix { inherit lib; }) said without;
  cfg = config.services.strata;
  toml = pkgs.formats.toml { };
  core = lib.attrNames (import ./rendered.nix).core;
  manifests = lib.mapAttrs (name: manifest: toml.generate "${name}.toml" (said manifest)) cfg.services;
  settings = toml.generate "strata.toml" (without [ null { } ] cfg.settings);

  copied = lib.concatStrings (
    lib.mapAttrsToList (name: file: "cp ${file} $out/services.d/${lib.escapeShellArg name}.toml\n") manifests
  );
  # A program of another architecture cannot be asked.
  checked = lib.optionalString (pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform) ''
    ${cfg.package}/bin/strata-ctl config check $out
  '';
  directory = pkgs.runCommand "strata-configuration" { } ''
    mkdir -p $out/services.d
    cp ${settings} $out/strata.toml
    ${copied}${checked}
  '';
in
{
  options.services.strata.files = mkOption {
    type = types.attrsOf types.raw;
    internal = true;
    readOnly = true;
    description = "The unchecked files: a change of one is what restarts or reloads the supervisor.";
  };

  config = mkIf cfg.enable {
    services.strata.files = { inherit manifests settings; };
    services.strata.settings = {
      node_id = mkDefault cfg.nodeId;
      core = lib.genAttrs core (name: cfg.${name}.enable);
      identity.key_file = mkIf (cfg.identity.keyFile != null) cfg.identity.keyFile;
    };
    environment.etc = {
      "strata/strata.toml".source = "${directory}/strata.toml";
    }
    // lib.mapAttrs' (
      name: _:
      lib.nameValuePair "strata/services.d/${name}.toml" { source = "${directory}/services.d/${name}.toml"; }
    ) manifests;
  };
}
