# SPDX-License-Identifier: MIT
# strata/templates/supervisor.j2, directive by directive; the reasons stand there. tests/nix compares the two.
{
  Type = "notify";
  NotifyAccess = "main";
  Restart = "on-failure";
  RestartSec = "200ms";
  WatchdogSec = "10s";
  TimeoutAbortSec = "2s";
  TimeoutStartSec = "60s";
  TimeoutStopSec = "120s";
  KillMode = "mixed";
  FileDescriptorStoreMax = 16;
  RuntimeDirectoryPreserve = "restart";
  LimitCORE = 0;
  UMask = "0022";
  NoNewPrivileges = true;
  LockPersonality = true;
  MemoryDenyWriteExecute = true;
  RestrictNamespaces = true;
  RestrictRealtime = true;
  RestrictSUIDSGID = true;
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
  ProtectSystem = "strict";
  ProtectClock = true;
  ProtectControlGroups = true;
  ProtectHostname = true;
  ProtectKernelLogs = true;
  ProtectKernelModules = true;
  ProtectKernelTunables = true;
  PrivateDevices = true;
  DevicePolicy = "closed";
  CPUAccounting = true;
  MemoryAccounting = true;
  TasksAccounting = true;
  Slice = "strata.slice";
  LogExtraFields = "STRATA_SERVICE=supervisor";
}
