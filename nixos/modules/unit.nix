# SPDX-License-Identifier: MIT
# The supervisor as a unit of the system; all else are transient units that it makes.
# What is the same on every machine is in rendered.nix, which is written from Strata's own templates.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkIf optional;
  cfg = config.services.strata;
  rendered = import ./rendered.nix;
  stateDir = "/var/lib/strata";
  # systemd makes and removes what lies in /run; anything else is made at boot and stays.
  inRun = lib.hasPrefix "/run/" cfg.runtimeDir;
in
{
  config = mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];
    users.groups.strata.members = cfg.operators;

    systemd.slices.strata = {
      inherit (rendered.slice) description sliceConfig;
    };

    systemd.tmpfiles.rules = [
      "d ${stateDir} 0755 root root -"
    ]
    ++ optional (!inRun) "d ${cfg.runtimeDir} 0755 root root -";

    systemd.services.strata-supervisor = {
      inherit (rendered.supervisor)
        description
        after
        wantedBy
        unitConfig
        ;
      # Another package or other settings: a restart, over which every service and every session lives on; a stop and
      # a start, which is what NixOS does by default, would end them.
      stopIfChanged = false;
      restartTriggers = [ cfg.files.settings ];
      reloadTriggers = lib.attrValues cfg.files.manifests;
      environment = {
        STRATA_MODE = "system";
        STRATA_RUNTIME_DIR = cfg.runtimeDir;
        STRATA_STATE_DIR = stateDir;
        STRATA_CONFIG_DIR = "/etc/strata";
        # NixOS gives units a PATH with next to nothing on it.
        STRATA_PATH = lib.makeBinPath (import ./programs.nix pkgs);
      };
      serviceConfig = rendered.supervisor.serviceConfig // {
        ExecStart = "${cfg.package}/bin/${rendered.supervisor.start}";
        ExecReload = "${cfg.package}/bin/${rendered.supervisor.reload}";
        ReadWritePaths = [
          cfg.runtimeDir
          "-${stateDir}"
        ]
        ++ rendered.supervisor.writable;
        RuntimeDirectory = optional inRun (lib.removePrefix "/run/" cfg.runtimeDir) ++ [ "strata-supervisor" ];
      };
    };
  };
}
