# SPDX-License-Identifier: MIT
"""Sets the sample of every directive on a transient unit of its kind and reads it back: run beside a real manager as
`directive_probe.py ADDRESS ROOT VERSION`, it prints one JSON object, "Section.Directive" → what went wrong, or "".

Each unit is created as an auxiliary unit of a slice that orders itself after it: it is loaded, stays for as long as the
slice does, and nothing is ever started.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from strata.errors import StrataError
from strata.systemd.bus import Bus, TransientUnit
from strata.units.directives import TABLE
from strata.units.model import UnitText
from strata.units.properties import encode
from strata.units.rows import Property, Row

KINDS = {"Unit": "service", "Service": "service", "Socket": "socket", "Scope": "scope", "Slice": "slice"}

# Properties that are read under another name or layout than they are set.
READ_AS = {
    "Conditions": ("Conditions", "a(sbbsi)"),
    "Asserts": ("Asserts", "a(sbbsi)"),
    "SELinuxContext": ("SELinuxContext", "(bs)"),
    "SmackLabelIPin": ("SmackLabelIPIn", "s"),
}
COMMANDS = {"a(sasb)": "a(sasbttttuii)", "a(sasas)": "a(sasasttttuii)"}

# Properties that systemd does not give out, or gives out changed; what it wrote into the unit's file is looked at.
LOOK_INTO_FILE = frozenset(
    (
        "CPUAffinityFromNUMA",
        "Group",
        "MemoryMaxScale",
        "RestrictFileSystems",
        "RootHashPath",
        "SELinuxContext",
        "SELinuxContextFromNet",
        "StandardOutputFileToAppend",
        "SystemCallFilter",
        "SystemCallLog",
        "TTYColumns",
        "TTYRows",
        "User",
        "WatchdogUSec",
        "WorkingDirectory",
    )
)


class Probe:
    """One connection to the manager whose root directory is `root`."""

    def __init__(self, address: str, root: Path, version: int) -> None:
        self.bus, self.root, self.version = Bus(address), root, version

    def problem(self, number: int, section: str, row: Row) -> str:
        """What is wrong with a row, or nothing."""
        kind = KINDS[section]
        name = f"probe{number}.slice" if kind == "slice" else f"probe-{number}.{kind}"
        keeper = f"probekeeper{number}.slice"
        try:
            properties = encode(UnitText(name, f"[{section}]\n{row.name}={row.sample}\n"), self.version).properties
            keep = TransientUnit(keeper, (Property("After", "as", [name]),))
            self.bus.start_transient(keep, [TransientUnit(name, properties)])
        except StrataError as error:
            return f"it cannot be set: {error.message}"
        try:
            return "; ".join(filter(None, (self._differs(name, kind, row, each) for each in properties)))
        finally:
            self.bus.stop(keeper)

    def _differs(self, unit: str, kind: str, row: Row, wanted: Property) -> str:
        if wanted.name in LOOK_INTO_FILE:
            return self._file_differs(unit, row)
        name, signature = READ_AS.get(wanted.name, (wanted.name, wanted.signature))
        try:
            got = self._read(unit, kind, name, COMMANDS.get(signature, signature))
        except StrataError as error:
            return f"{name} cannot be read: {error.message}"
        want = plain(wanted.value)
        return "" if holds(want, plain(got)) else f"{name} was set to {want!r} and reads {plain(got)!r}"

    def _read(self, unit: str, kind: str, name: str, signature: str) -> Any:
        try:
            return self.bus.property(unit, kind.capitalize(), name, signature)
        except StrataError:
            return self.bus.property(unit, "Unit", name, signature)

    def _file_differs(self, unit: str, row: Row) -> str:
        text = (self.root / "run/systemd/transient" / unit).read_text()
        # Percentages are written with two decimals.
        wanted = f"{row.name}={row.sample.replace('%', '.00%')}"
        return "" if wanted in text.splitlines() else f"no {wanted} in the file that systemd wrote: {text!r}"


def plain(value: Any) -> Any:
    """One form for what is sent and what comes back: text as bytes, tuples and arrays of bytes as lists."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, tuple | list):
        found = [plain(item) for item in value]
        return bytes(found) if found and all(type(item) is int and 0 <= item < 256 for item in found) else found
    return value


def holds(want: Any, got: Any) -> bool:
    """Does what was read hold what was set? A list may hold more (systemd adds dependencies of its own) in any order,
    structures more at their end (run times), masks more zeros."""
    if isinstance(want, bytes) and isinstance(got, bytes):
        return want.rstrip(b"\0") == got.rstrip(b"\0")
    if isinstance(want, list) and isinstance(got, list):
        return all(any(holds(item, other) for other in got) for item in want)
    return bool(want == got)


def main() -> None:
    """Probe every row that this systemd is new enough for."""
    address, root, version = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    probe = Probe(address, root, version)
    rows = [(section, row) for section, found in TABLE.items() for row in found.values() if row.since <= version]
    json.dump({f"{s}.{row.name}": probe.problem(number, s, row) for number, (s, row) in enumerate(rows)}, sys.stdout)


if __name__ == "__main__":
    main()
