# SPDX-License-Identifier: MIT
"""systemd.resource-control(5) and systemd.kill(5): limits, weights, devices, addresses, and how a unit is ended."""

from __future__ import annotations

from strata.units import encode_cgroup as cgroup
from strata.units import kernel
from strata.units.encode_exec import selection, strings
from strata.units.rows import Row, each, each_as, family, one, one_as
from strata.values import boolean, microseconds, size

CGROUP: tuple[Row, ...] = (
    # directive, signature, reader, sample
    *family(one, "CPUAccounting MemoryAccounting TasksAccounting IOAccounting BlockIOAccounting", "b", boolean, "yes"),
    one("IPAccounting", "b", boolean, "yes"),
    one("CPUWeight", "t", cgroup.cpu_weight, "idle"),
    one("StartupCPUWeight", "t", cgroup.cpu_weight, "200"),
    *family(one, "CPUShares StartupCPUShares", "t", cgroup.cpu_shares, "512"),
    one("CPUQuota", "t", cgroup.cpu_quota, "150.5%", bus="CPUQuotaPerSecUSec"),
    one("CPUQuotaPeriodSec", "t", microseconds, "50ms", bus="CPUQuotaPeriodUSec"),
    *family(one, "AllowedCPUs StartupAllowedCPUs", "ay", kernel.cpu_set, "0-1"),
    *family(one, "AllowedMemoryNodes StartupAllowedMemoryNodes", "ay", kernel.cpu_set, "0"),
    *(
        one_as(name, cgroup.memory(name), sample)
        for name, sample in {
            "MemoryMin": "1M",
            "MemoryLow": "2M",
            "MemoryHigh": "256M",
            "MemoryMax": "25%",
            "MemorySwapMax": "infinity",
            "MemoryLimit": "1.5G",
            "DefaultMemoryMin": "1M",
            "DefaultMemoryLow": "1M",
        }.items()
    ),
    one("MemoryZSwapWriteback", "b", boolean, "no", since=256),
    one_as("MemoryZSwapMax", cgroup.memory("MemoryZSwapMax"), "64M", since=253),
    # These came without a share of their own: systemd 254 takes bytes for them only.
    *family(
        one,
        "StartupMemoryLow StartupMemoryHigh StartupMemoryMax StartupMemorySwapMax StartupMemoryZSwapMax "
        "DefaultStartupMemoryLow",
        "t",
        size,
        "64M",
        since=254,
    ),
    one_as("TasksMax", cgroup.tasks, "123"),
    *family(one, "IOWeight StartupIOWeight", "t", cgroup.weight, "300"),
    *family(one, "BlockIOWeight StartupBlockIOWeight", "t", cgroup.block_weight, "300"),
    *family(each, "IODeviceWeight BlockIODeviceWeight", "a(st)", cgroup.device_weight, "/dev/null 300"),
    *family(
        each,
        "IOReadBandwidthMax IOWriteBandwidthMax IOReadIOPSMax IOWriteIOPSMax BlockIOReadBandwidth "
        "BlockIOWriteBandwidth",
        "a(st)",
        cgroup.device_bandwidth,
        "/dev/null 5M",
    ),
    each("IODeviceLatencyTargetSec", "a(st)", cgroup.device_latency, "/dev/null 25ms", bus="IODeviceLatencyTargetUSec"),
    one("DevicePolicy", "s", str, "closed"),
    each("DeviceAllow", "a(ss)", cgroup.device, "/dev/null rw"),
    *family(each, "IPAddressAllow IPAddressDeny", "a(iayu)", cgroup.addresses, "10.1.0.0/16 localhost"),
    *family(each, "IPIngressFilterPath IPEgressFilterPath", "as", lambda path: [path], "/sys/fs/bpf/no-such-filter"),
    each("BPFProgram", "a(ss)", cgroup.bpf_program, "egress:/sys/fs/bpf/no-such-program"),
    *family(each, "SocketBindAllow SocketBindDeny", "a(iiqq)", cgroup.socket_bind, "ipv4:tcp:8000-8080"),
    each("RestrictNetworkInterfaces", "(bas)", selection, "~lo"),
    each("DisableControllers", "as", strings, "cpu io"),
    one("ManagedOOMPreference", "s", str, "avoid"),
    one("MemoryPressureWatch", "s", str, "yes", since=254),
    one("MemoryPressureThresholdSec", "t", microseconds, "150ms", bus="MemoryPressureThresholdUSec", since=254),
)

# Not for sockets.
OOMD: tuple[Row, ...] = (
    *family(one, "ManagedOOMSwap ManagedOOMMemoryPressure", "s", str, "kill"),
    one("ManagedOOMMemoryPressureLimit", "u", cgroup.scale, "60%"),
    one(
        "ManagedOOMMemoryPressureDurationSec",
        "t",
        microseconds,
        "20s",
        bus="ManagedOOMMemoryPressureDurationUSec",
        since=257,
    ),
)

# For services and scopes.
DELEGATED: tuple[Row, ...] = (
    each_as("Delegate", cgroup.delegate, "yes"),
    one("CoredumpReceive", "b", boolean, "yes", since=255),
    one("DelegateSubgroup", "s", str, "main", since=254),
)

# Not for slices: a slice is in another by its name.
SLICED: tuple[Row, ...] = (one("Slice", "s", str, "strata-sample.slice"),)

KILL: tuple[Row, ...] = (
    one("KillMode", "s", str, "mixed"),
    *family(one, "SendSIGHUP", "b", boolean, "yes"),
    *family(one, "SendSIGKILL", "b", boolean, "no"),
    one("KillSignal", "i", kernel.signal_number, "SIGUSR1"),
    one("RestartKillSignal", "i", kernel.signal_number, "RTMIN+3"),
    one("FinalKillSignal", "i", kernel.signal_number, "QUIT"),
    one("WatchdogSignal", "i", kernel.signal_number, "6"),
)
