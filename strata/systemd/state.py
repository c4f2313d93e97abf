# SPDX-License-Identifier: MIT
"""What systemd says about a unit, as one frozen value (org.freedesktop.systemd1(5))."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

UNSET_64 = 2**64 - 1
"""systemd's word for "no value" in 64-bit accounting properties."""


class UnitStatus(msgspec.Struct, frozen=True):
    """The properties that Strata decides by. Times are microseconds since the epoch, 0 for never.

    A unit that was collected reads like one that never existed: look at `gone` before anything else.
    """

    name: str
    load_state: str = "not-found"
    active_state: str = "inactive"
    sub_state: str = "dead"
    job: str = ""  # its type, of a service that is deactivating, inactive or failed
    invocation_id: str = ""
    active_since_us: int = 0
    result: str = ""
    main_pid: int = 0
    restarts: int = 0
    exit_code: int = 0  # CLD_EXITED 1, CLD_KILLED 2, CLD_DUMPED 3 (sigaction(2)); 0 while nothing has ended
    exit_status: int = 0  # exit status, or signal number
    status_text: str = ""
    control_group: str = ""
    memory_bytes: int | None = None
    tasks: int | None = None
    cpu_ns: int | None = None
    log_fields: tuple[str, ...] = ()
    straight: bool = False  # of a service that failed: it went there from its run, with no restart on the way

    @property
    def gone(self) -> bool:
        """systemd knows no such unit."""
        return self.load_state == "not-found"

    @property
    def running(self) -> bool:
        """A process of the unit may be alive."""
        return self.active_state in ("active", "reloading", "activating", "deactivating")

    @property
    def ends_as_asked(self) -> bool:
        """It is being ended by somebody's stop or restart, not by itself."""
        return self.active_state == "deactivating" and self.job in ("stop", "restart")

    def log_field(self, name: str) -> str:
        """Value of a field in LogExtraFields=, "" when absent."""
        prefix = name + "="
        return next((field.removeprefix(prefix) for field in self.log_fields if field.startswith(prefix)), "")


class Job(msgspec.Struct, frozen=True):
    """A job that systemd has finished; `result` is done, canceled, timeout, failed, dependency or skipped."""

    path: str
    unit: str
    result: str


UNIT = ("Unit",)
CGROUP = ("Service", "Socket", "Scope", "Slice")
ENDING = ("Service", "Socket", "Scope")

# One row per field: (field, interfaces that have it, property, D-Bus type). Other kinds of unit keep the default.
Row: TypeAlias = tuple[str, tuple[str, ...], str, str]
PROPERTIES: tuple[Row, ...] = (
    ("load_state", UNIT, "LoadState", "s"),
    ("active_state", UNIT, "ActiveState", "s"),
    ("sub_state", UNIT, "SubState", "s"),
    ("invocation_id", UNIT, "InvocationID", "ay"),
    ("active_since_us", UNIT, "ActiveEnterTimestamp", "t"),
    ("result", ENDING, "Result", "s"),
    ("control_group", CGROUP, "ControlGroup", "s"),
    ("memory_bytes", CGROUP, "MemoryCurrent", "t"),
    ("tasks", CGROUP, "TasksCurrent", "t"),
    ("cpu_ns", CGROUP, "CPUUsageNSec", "t"),
    ("main_pid", ("Service",), "MainPID", "u"),
    ("restarts", ("Service",), "NRestarts", "u"),
    ("exit_code", ("Service",), "ExecMainCode", "i"),
    ("exit_status", ("Service",), "ExecMainStatus", "i"),
    ("status_text", ("Service",), "StatusText", "s"),
    ("log_fields", ("Service", "Socket"), "LogExtraFields", "aay"),
)

# Of a scope, which there may be hundreds of, only its state is asked for.
BRIEF = tuple(row for row in PROPERTIES if row[0] in ("load_state", "active_state", "result"))
