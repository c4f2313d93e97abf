# SPDX-License-Identifier: MIT
"""systemd.service(5), systemd.socket(5) and systemd.scope(5)."""

from __future__ import annotations

from strata.units import encode_command as command
from strata.units import kernel
from strata.units.encode_cgroup import listen
from strata.units.encode_exec import strings
from strata.units.rows import Row, each, each_as, family, one, one_as
from strata.values import Integer, boolean, microseconds, mode, signed32, signed64, size, unsigned32

_COMMANDS = "ExecCondition ExecStartPre ExecStart ExecStartPost ExecReload ExecStop ExecStopPost"

SERVICE: tuple[Row, ...] = (
    # directive, signature, reader, sample
    one("Type", "s", str, "exec"),
    one("ExitType", "s", str, "cgroup"),
    one("RemainAfterExit", "b", boolean, "yes"),
    one("GuessMainPID", "b", boolean, "no"),
    one("PIDFile", "s", str, "/run/sample.pid"),
    one("BusName", "s", str, "org.example.Sample"),
    *(each_as(name, command.service_command(name), ':-/bin/sh -c "exit $$0" %n') for name in _COMMANDS.split()),
    *family(one, "RestartSec", "t", microseconds, "1min 500ms", bus="RestartUSec"),
    one("RestartSteps", "u", unsigned32, "5", since=254, degradable=True),
    one("RestartMaxDelaySec", "t", microseconds, "30s", bus="RestartMaxDelayUSec", since=254, degradable=True),
    one("RestartMode", "s", str, "direct", since=254),
    one("TimeoutStartSec", "t", microseconds, "31s", bus="TimeoutStartUSec"),
    one("TimeoutStopSec", "t", microseconds, "32s", bus="TimeoutStopUSec"),
    one("TimeoutAbortSec", "t", microseconds, "33s", bus="TimeoutAbortUSec"),
    one_as("TimeoutSec", command.timeouts, "34s"),
    *family(one, "TimeoutStartFailureMode TimeoutStopFailureMode", "s", str, "kill"),
    one("RuntimeMaxSec", "t", microseconds, "1h", bus="RuntimeMaxUSec"),
    one("RuntimeRandomizedExtraSec", "t", microseconds, "1min", bus="RuntimeRandomizedExtraUSec"),
    one("WatchdogSec", "t", microseconds, "11s", bus="WatchdogUSec"),
    one("Restart", "s", str, "on-abnormal"),
    *family(
        each,
        "SuccessExitStatus RestartPreventExitStatus RestartForceExitStatus",
        "(aiai)",
        kernel.exit_statuses,
        "3 TEMPFAIL SIGUSR2",
    ),
    *family(one, "PermissionsStartOnly RootDirectoryStartOnly", "b", boolean, "yes"),
    one("NotifyAccess", "s", str, "all"),
    one("FileDescriptorStoreMax", "u", unsigned32, "17"),
    one("FileDescriptorStorePreserve", "s", str, "yes", since=254, degradable=True),
    *family(one, "USBFunctionDescriptors USBFunctionStrings", "s", str, "/no/such/file"),
    one("OOMPolicy", "s", str, "continue"),
    each("OpenFile", "a(sst)", command.open_file, "/etc/hostname:name:read-only,graceful", since=253),
    one("ReloadSignal", "i", kernel.signal_number, "SIGUSR1", since=253),
)

_LISTEN = {
    "ListenStream": "/run/strata-sample/stream",
    "ListenDatagram": "127.0.0.1:7",
    "ListenSequentialPacket": "/run/strata-sample/packet",
    "ListenFIFO": "/run/strata-sample/fifo",
    "ListenSpecial": "/dev/null",
    "ListenNetlink": "kobject-uevent 1",
    "ListenMessageQueue": "/strata-sample",
    "ListenUSBFunction": "/no/such/function",
}

SOCKET: tuple[Row, ...] = (
    # directive, signature, reader, sample
    *(each_as(name, listen(name), sample) for name, sample in _LISTEN.items()),
    one("SocketProtocol", "i", kernel.named(kernel.PROTOCOLS), "udplite"),
    one("BindIPv6Only", "s", str, "ipv6-only"),
    one("Backlog", "u", unsigned32, "99"),
    one("BindToDevice", "s", str, "lo"),
    *family(one, "SocketUser SocketGroup", "s", str, "nobody"),
    *family(one, "SocketMode DirectoryMode", "u", mode, "0640"),
    *family(
        one,
        "Accept Writable FlushPending KeepAlive NoDelay FreeBind Transparent Broadcast PassCredentials PassSecurity "
        "PassPacketInfo ReusePort RemoveOnStop SELinuxContextFromNet",
        "b",
        boolean,
        "yes",
    ),
    *family(one, "MaxConnections MaxConnectionsPerSource KeepAliveProbes TriggerLimitBurst", "u", unsigned32, "9"),
    one("PassFileDescriptorsToExec", "b", boolean, "yes", since=256),
    *family(one, "PollLimitBurst", "u", unsigned32, "9", since=255),
    one("KeepAliveTimeSec", "t", microseconds, "5s", bus="KeepAliveTimeUSec"),
    one("KeepAliveIntervalSec", "t", microseconds, "6s", bus="KeepAliveIntervalUSec"),
    one("DeferAcceptSec", "t", microseconds, "7s", bus="DeferAcceptUSec"),
    one("TimeoutSec", "t", microseconds, "8s", bus="TimeoutUSec"),
    one("TriggerLimitIntervalSec", "t", microseconds, "9s", bus="TriggerLimitIntervalUSec"),
    one("PollLimitIntervalSec", "t", microseconds, "9s", bus="PollLimitIntervalUSec", since=255),
    *family(one, "ReceiveBuffer SendBuffer PipeSize", "t", size, "64K"),
    one("Priority", "i", signed32, "3"),
    one("IPTOS", "i", kernel.named(kernel.TYPES_OF_SERVICE, Integer(0, 255, "a type of service")), "low-delay"),
    one("IPTTL", "i", Integer(1, 255, "hops"), "64"),
    one("Mark", "i", signed32, "4"),
    one("TCPCongestion", "s", str, "cubic"),
    one("Timestamping", "s", str, "us"),
    *family(one, "MessageQueueMaxMessages MessageQueueMessageSize", "x", signed64, "10"),
    each("Symlinks", "as", strings, "/run/strata-sample/link"),
    one("FileDescriptorName", "s", str, "sample"),
    *family(one, "SmackLabel SmackLabelIPOut", "s", str, "sample"),
    # The setter is spelt with a small i in every systemd so far, the property that is read with a capital one.
    one("SmackLabelIPIn", "s", str, "sample", bus="SmackLabelIPin"),
    *family(
        each, "ExecStartPre ExecStartPost ExecStopPre ExecStopPost", "a(sasb)", command.socket_command, "-/bin/true x"
    ),
)

SCOPE: tuple[Row, ...] = (
    # directive, signature, reader, sample
    one("RuntimeMaxSec", "t", microseconds, "1h", bus="RuntimeMaxUSec"),
    one("RuntimeRandomizedExtraSec", "t", microseconds, "1min", bus="RuntimeRandomizedExtraUSec"),
    one("TimeoutStopSec", "t", microseconds, "32s", bus="TimeoutStopUSec"),
    one("OOMPolicy", "s", str, "continue"),
    *family(one, "User Group", "s", str, "nobody"),
)
