# SPDX-License-Identifier: MIT
# The supervisor as a unit of the system; everything else are transient units that it makes.
# Its settings are in supervisor.nix, which is written from Strata's own templates.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    hasPrefix
    mapAttrs'
    mkIf
    mkMerge
    nameValuePair
    optional
    removePrefix
    ;
  cfg = config.services.strata;
  rendered = import ./supervisor.nix;
  toml = pkgs.formats.toml { };
  manifests = mapAttrs' (
    name: manifest: nameValuePair "strata/services.d/${name}.toml" { source = toml.generate "${name}.toml" manifest; }
  ) cfg.services;
  settings = toml.generate "strata.toml" cfg.settings;
  stateDir = "/var/lib/strata";
  # systemd makes and removes what lies in /run; anything else is made at boot and stays.
  inRun = hasPrefix "/run/" cfg.runtimeDir;
in
{
  config = mkIf cfg.enable {
    assertions = [
      {
        assertion = lib.all (name: builtins.match "[A-Za-z0-9][A-Za-z0-9_.-]{0,63}" name != null) (
          builtins.attrNames cfg.services
        );
        message = "services.strata.services: a name has 1 to 64 letters, digits, '_', '.' and '-'";
      }
    ];
    warnings =
      optional (cfg.registryPackage != null || cfg.identityPackage != null || cfg.fsPackage != null)
        "services.strata.{registry,identity,fs}Package have no effect: every service runs from services.strata.package";

    environment.systemPackages = [ cfg.package ];
    environment.etc = mkMerge [
      manifests
      (mkIf (cfg.settings != { }) { "strata/strata.toml".source = settings; })
    ];

    systemd.slices.strata = {
      description = "Everything that Strata runs";
      inherit (rendered) sliceConfig;
    };

    systemd.tmpfiles.rules = optional (!inRun) "d ${cfg.runtimeDir} 0755 root root -";

    systemd.services.strata-supervisor = {
      description = "Strata supervisor";
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      restartTriggers = optional (cfg.settings != { }) settings;
      reloadTriggers = map (entry: entry.source) (builtins.attrValues manifests);
      environment = {
        STRATA_RUNTIME_DIR = cfg.runtimeDir;
        STRATA_STATE_DIR = stateDir;
        STRATA_CONFIG_DIR = "/etc/strata";
        STRATA_NODE_ID = cfg.nodeId;
        STRATA_MODE = "system";
      };
      inherit (rendered) unitConfig;
      serviceConfig = rendered.serviceConfig // {
        ExecStart = "${cfg.package}/bin/strata-python -P -m strata.supervisor.main";
        # What a changed manifest asks for, without a restart of what has not changed.
        ExecReload = "${cfg.package}/bin/strata-ctl reload --apply";
        ReadWritePaths = [
          cfg.runtimeDir
          "-${stateDir}"
        ];
        # The sockets' directory is the supervisor's own here: there is nobody before it who could make it.
        RuntimeDirectory = if inRun then removePrefix "/run/" cfg.runtimeDir else "strata-supervisor";
        RuntimeDirectoryMode = "0755";
      };
    };
  };
}
