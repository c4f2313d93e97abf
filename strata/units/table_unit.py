# SPDX-License-Identifier: MIT
"""systemd.unit(5): the directives of [Unit]."""

from __future__ import annotations

from strata.units import encode_cgroup as cgroup
from strata.units.encode_exec import strings
from strata.units.rows import Row, each, each_as, family, one
from strata.values import boolean, microseconds, unsigned32

_CONDITIONS = {
    "ACPower": "no",
    "Architecture": "!mips",
    "CPUFeature": "!no-such-feature",
    "CPUPressure": "99%",
    "CPUs": ">=1",
    "Capability": "|CAP_CHOWN",
    "ControlGroupController": "!no-such-controller",
    "Credential": "!no-such-credential",
    "DirectoryNotEmpty": "/etc",
    "Environment": "!NO_SUCH_VARIABLE",
    "FileIsExecutable": "/bin/true",
    "FileNotEmpty": "!/no/such/file",
    "Firmware": "!device-tree",
    "FirstBoot": "no",
    "Group": "root",
    "Host": "!no-such-host",
    "IOPressure": "99%",
    "KernelCommandLine": "!no-such-word",
    "KernelVersion": ">=3",
    "Memory": ">=1M",
    "MemoryPressure": "99%",
    "NeedsUpdate": "!/var",
    "OSRelease": "!ID=no-such-system",
    "PathExists": "|!/no/such/path",
    "PathExistsGlob": "/et*",
    "PathIsDirectory": "/etc",
    "PathIsEncrypted": "!/etc",
    "PathIsMountPoint": "/proc",
    "PathIsReadWrite": "/tmp",
    "PathIsSymbolicLink": "!/etc",
    "Security": "!ima",
    "User": "root",
    "Virtualization": "!vmware",
}

# bus property: the same name; signature as; a value is unit names.
_DEPENDENCIES = (
    "Requires Requisite Wants BindsTo PartOf Upholds Conflicts Before After OnSuccess OnFailure PropagatesReloadTo "
    "ReloadPropagatedFrom PropagatesStopTo StopPropagatedFrom JoinsNamespaceOf"
)

UNIT: tuple[Row, ...] = (
    # directive, signature, reader, sample
    one("Description", "s", str, "A unit of %n"),
    each("Documentation", "as", strings, "man:systemd.unit(5) https://example.org/"),
    one("SourcePath", "s", str, "/etc/hostname"),
    *family(each, _DEPENDENCIES, "as", strings, "strata-sample-other.service"),
    each("RequiresMountsFor", "as", strings, "/tmp /etc"),
    each("WantsMountsFor", "as", strings, "/tmp /etc", since=256),
    one("OnSuccessJobMode", "s", str, "fail"),
    one("OnFailureJobMode", "s", str, "isolate"),
    *family(
        one,
        "StopWhenUnneeded RefuseManualStart RefuseManualStop AllowIsolate IgnoreOnIsolate",
        "b",
        boolean,
        "yes",
    ),
    one("DefaultDependencies", "b", boolean, "no"),
    one("SurviveFinalKillSignal", "b", boolean, "yes", since=255),
    one("CollectMode", "s", str, "inactive-or-failed"),
    one("JobRunningTimeoutSec", "t", microseconds, "7min", bus="JobRunningTimeoutUSec"),
    *family(one, "JobTimeoutAction StartLimitAction FailureAction SuccessAction", "s", str, "none"),
    *family(one, "JobTimeoutRebootArgument RebootArgument", "s", str, "again"),
    one("StartLimitIntervalSec", "t", microseconds, "2min", bus="StartLimitIntervalUSec"),
    one("StartLimitBurst", "u", unsigned32, "7"),
    *family(one, "FailureActionExitStatus SuccessActionExitStatus", "i", cgroup.exit_status, "77"),
    *(
        each_as(f"Condition{name}", cgroup.condition(f"Condition{name}"), sample)
        for name, sample in _CONDITIONS.items()
    ),
    *(
        each_as(f"Assert{name}", cgroup.condition(f"Assert{name}"), sample)
        for name, sample in _CONDITIONS.items()
        if name != "Firmware"
    ),
)
