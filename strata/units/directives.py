# SPDX-License-Identifier: MIT
"""Every directive that a transient unit can carry: which section, which D-Bus property, which layout, since when.

The rows stand in `table_*.py`, one file per man page. To add a directive, add a row there:
`one("Nice", "i", Integer(-20, 19, "a nice level"), "5")` is its name, the D-Bus signature, the function that reads a
value, and a sample that tests/live/test_directives.py sets on a real unit and reads back.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from strata.errors import InvalidArgument
from strata.units.rows import Row
from strata.units.table_cgroup import CGROUP, DELEGATED, KILL, OOMD, SLICED
from strata.units.table_exec import EXEC
from strata.units.table_service import SCOPE, SERVICE, SOCKET
from strata.units.table_unit import UNIT


def _by_name(*groups: tuple[Row, ...]) -> Mapping[str, Row]:
    rows = [row for group in groups for row in group]
    found = {row.name: row for row in rows}
    if len(found) != len(rows):
        names = [row.name for row in rows]
        raise AssertionError(f"rows given twice: {sorted({name for name in names if names.count(name) > 1})}")
    return found


# Section → directive → row.
TABLE: Mapping[str, Mapping[str, Row]] = {
    "Unit": _by_name(UNIT),
    "Service": _by_name(SERVICE, EXEC, CGROUP, OOMD, DELEGATED, SLICED, KILL),
    "Socket": _by_name(SOCKET, tuple(row for row in EXEC if row.name != "NonBlocking"), CGROUP, SLICED, KILL),
    "Scope": _by_name(SCOPE, CGROUP, OOMD, DELEGATED, SLICED, KILL),
    "Slice": _by_name(CGROUP, OOMD),
}

_OLD_NAME = "it is an old name; write {} instead"
_IN_UNIT = "it belongs into [Unit]"
_NO_DELEGATION = dict.fromkeys(
    ("Delegate", "DelegateSubgroup", "CoredumpReceive"), "cgroups are delegated to services and scopes only"
)
_NO_OOMD = dict.fromkeys(
    (
        "ManagedOOMSwap",
        "ManagedOOMMemoryPressure",
        "ManagedOOMMemoryPressureLimit",
        "ManagedOOMMemoryPressureDurationSec",
    ),
    "systemd-oomd watches services, scopes and slices only",
)

# Section → directive that systemd has in files, but takes over D-Bus from nobody → why, or what to do instead.
NOT_TRANSIENT: Mapping[str, Mapping[str, str]] = {
    "Unit": {
        "JobTimeoutSec": "systemd does not take it over D-Bus; write JobRunningTimeoutSec=",
        "StartLimitInterval": _OLD_NAME.format("StartLimitIntervalSec="),
        "BindTo": _OLD_NAME.format("BindsTo="),
        "PropagateReloadTo": _OLD_NAME.format("PropagatesReloadTo="),
        "PropagateReloadFrom": _OLD_NAME.format("ReloadPropagatedFrom="),
        "RequiresOverridable": _OLD_NAME.format("Requires="),
        "RequisiteOverridable": _OLD_NAME.format("Requisite="),
        "OnFailureIsolate": _OLD_NAME.format("OnFailureJobMode=isolate"),
        "IgnoreOnSnapshot": "systemd ignores it since v228",
    },
    "Service": {
        "Sockets": "a socket of the same name is found without it",
        "TimeoutCleanSec": "it concerns systemctl clean, which has nothing to clean for a transient unit",
        "SysVStartPriority": "it orders init scripts",
        "BusPolicy": "it was for kdbus",
        "NFTSet": "Strata keeps no nftables sets",
        "StartLimitInterval": _IN_UNIT + " as StartLimitIntervalSec=",
        "StartLimitBurst": _IN_UNIT,
        "StartLimitAction": _IN_UNIT,
        "FailureAction": _IN_UNIT,
        "RebootArgument": _IN_UNIT,
        "Capabilities": "systemd dropped it in v230; write AmbientCapabilities= and CapabilityBoundingSet=",
        "NetClass": "systemd dropped it in v229",
    },
    "Socket": {
        **_NO_DELEGATION,
        **_NO_OOMD,
        "Service": "the service of the same name is the one that it starts",
        "NonBlocking": "it concerns services",
        "TimeoutCleanSec": "it concerns systemctl clean, which has nothing to clean for a transient unit",
        "NFTSet": "Strata keeps no nftables sets",
        "Capabilities": "systemd dropped it in v230",
        "NetClass": "systemd dropped it in v229",
    },
    "Scope": {"NFTSet": "Strata keeps no nftables sets", "NetClass": "systemd dropped it in v229"},
    "Slice": {
        **_NO_DELEGATION,
        "Slice": "a slice is inside another by its name, a-b.slice in a.slice",
        "NFTSet": "Strata keeps no nftables sets",
        "NetClass": "systemd dropped it in v229",
    },
    "Install": dict.fromkeys(
        ("Alias", "WantedBy", "RequiredBy", "Also", "DefaultInstance", "UpheldBy"),
        "it says how a file on disk is enabled",
    ),
}


def lookup(section: str, name: str) -> Row:
    """The row of a directive. Raises InvalidArgument that says why there is none, or which one may be meant."""
    if section not in TABLE and section not in NOT_TRANSIENT:
        known = ", ".join(TABLE)
        raise InvalidArgument(f"cannot set {name} in [{section}] of a transient unit: the sections are {known}")
    if row := TABLE.get(section, {}).get(name):
        return row
    if reason := NOT_TRANSIENT.get(section, {}).get(name):
        raise InvalidArgument(f"cannot set {name} on a transient unit: {reason}")
    raise InvalidArgument(f"cannot set {name} in [{section}]: there is no such directive{_meant(section, name)}")


def _meant(section: str, name: str) -> str:
    elsewhere = [other for other, rows in TABLE.items() if name in rows]
    if elsewhere:
        return f" there; it belongs into [{elsewhere[0]}]"
    near = difflib.get_close_matches(name, TABLE.get(section, {}), n=1)
    return f"; did you mean {near[0]}?" if near else ""
