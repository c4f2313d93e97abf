# SPDX-License-Identifier: MIT
# Written by nixos/generate.py from strata/templates/supervisor.j2 and slice.j2, where the reasons stand, and from
# strata/settings.py. Do not edit.
{
  core = {
    registry = [ ];
    identity = [ "registry" ];
    fs = [
      "registry"
      "identity"
    ];
    sandbox = [
      "registry"
      "identity"
    ];
    api = [ "sandbox" ];
  };
  supervisor = {
    description = "Strata supervisor";
    after = [ "network.target" ];
    wantedBy = [ "multi-user.target" ];
    start = "strata-python -P -m strata.supervisor.main";
    reload = "strata-python -P -m strata reload --apply";
    writable = [ "-/run/systemd/transient" ];
    unitConfig = {
      Documentation = "man:strata-ctl(1)";
      StartLimitIntervalSec = "2min";
      StartLimitBurst = "40";
    };
    serviceConfig = {
      Type = "notify";
      NotifyAccess = "main";
      Restart = "on-failure";
      RestartSec = "200ms";
      WatchdogSec = "10s";
      TimeoutAbortSec = "2s";
      TimeoutStartSec = "60s";
      TimeoutStopSec = "120s";
      KillMode = "mixed";
      FileDescriptorStoreMax = "16";
      RuntimeDirectoryMode = "0755";
      RuntimeDirectoryPreserve = "yes";
      LimitCORE = "0";
      LimitNOFILE = "4096";
      UMask = "0022";
      NoNewPrivileges = "yes";
      LockPersonality = "yes";
      MemoryDenyWriteExecute = "yes";
      RestrictNamespaces = "yes";
      RestrictRealtime = "yes";
      RestrictSUIDSGID = "yes";
      RestrictAddressFamilies = "AF_UNIX AF_INET AF_INET6";
      SystemCallArchitectures = "native";
      SystemCallFilter = [
        "@system-service"
        "~@privileged @resources"
      ];
      SystemCallErrorNumber = "EPERM";
      CapabilityBoundingSet = "";
      AmbientCapabilities = "";
      KeyringMode = "private";
      PrivateMounts = "yes";
      ProtectSystem = "strict";
      ProtectClock = "yes";
      ProtectControlGroups = "yes";
      ProtectHostname = "yes";
      ProtectKernelLogs = "yes";
      ProtectKernelModules = "yes";
      ProtectKernelTunables = "yes";
      PrivateDevices = "yes";
      DevicePolicy = "closed";
      Slice = "strata.slice";
      CPUAccounting = "yes";
      MemoryAccounting = "yes";
      TasksAccounting = "yes";
    };
  };
  slice = {
    description = "Everything that Strata runs";
    sliceConfig = {
      CPUAccounting = "yes";
      MemoryAccounting = "yes";
      TasksAccounting = "yes";
      IOAccounting = "yes";
    };
  };
}
