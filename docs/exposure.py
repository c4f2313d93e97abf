# SPDX-License-Identifier: MIT
"""Measure how exposed Strata's units are: `python docs/exposure.py` writes exposure.json, as root.

By `systemd-analyze security --offline=true` of this machine's systemd, and of that in .cache/debian13 where it is there
(scripts/modern-tree). Scopes, slices and sockets have no such figure: systemd rates services alone.
"""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from formatting import table

from strata.installation import layout
from strata.units import manifest, render
from strata.units.context import elsewhere
from strata.units.model import UnitText

HERE = Path(__file__).resolve().parent
FILE = HERE / "exposure.json"
TREES = (Path("/"), HERE.parent / ".cache/debian13")
_EXAMPLE = 'command = ["/usr/bin/true"]\nprofile = "{}"\n'
_OVERALL = re.compile(r"exposure level for \S+: ([\d.]+)")

Found = dict[str, dict[str, Any]]
"""Unit → {"exposure": 0 to 10, "open": names of what is not set}."""


def name(unit: str) -> str:
    """`strata-fs.service` is fs."""
    return unit.removeprefix("strata-").removesuffix(".service")


def services(version: int) -> Iterator[UnitText]:
    """Every service that Strata makes, and one of a user's with each profile, as for that systemd."""
    where = elsewhere(version, layout.SYSTEM)
    declared = [*manifest.load_core()]
    declared += [manifest.parse(_EXAMPLE.format(one), f"example-{one}", one) for one in ("sealed", "plain")]
    units = [render.render_supervisor(where), *(unit for one in declared for unit in render.render(one, where))]
    yield from (unit for unit in units if unit.name.endswith(".service"))


def measured(tree: Path) -> tuple[int, Found]:
    """The version of the systemd in a tree, and what it finds."""
    version = int(_said(tree, "systemctl", "--version").split()[1])
    with tempfile.TemporaryDirectory(dir=tree / "tmp") as directory:
        found = {}
        for unit in services(version):
            file = Path(directory, unit.name)
            file.write_text(unit.text)
            found[name(unit.name)] = _one(tree, str(Path("/", file.relative_to(tree))))
    return version, found


def _one(tree: Path, file: str) -> dict[str, Any]:
    argv = ("systemd-analyze", "security", "--offline=true", "--no-pager")
    overall = _OVERALL.search(_said(tree, *argv, file))
    assert overall, file
    rows = json.loads(_said(tree, *argv, "--json=short", file))
    return {"exposure": float(overall[1]), "open": sorted(row["name"] for row in rows if _is_open(row))}


def _is_open(row: Mapping[str, Any]) -> bool:
    return bool(row["exposure"]) and float(row["exposure"]) > 0


def _said(tree: Path, *argv: str) -> str:
    command = argv if tree == Path("/") else ("chroot", str(tree), *argv)
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def reasons() -> dict[str, Any]:
    """exposure.toml."""
    return tomllib.loads((HERE / "exposure.toml").read_text(encoding="utf-8"))


def applies(reason: Mapping[str, Sequence[str]], unit: str, thing: str) -> bool:
    """Whether a reason is for that thing of that unit."""
    return any(fnmatch.fnmatch(unit, one) for one in reason["units"]) and any(
        fnmatch.fnmatchcase(thing, one) or thing == one for one in reason["things"]
    )


def exposure() -> str:
    """The tables: a figure of each unit and systemd; each thing that is open with its reason."""
    versions = json.loads(FILE.read_text(encoding="utf-8"))
    units = list(next(iter(versions.values())))
    ceiling = reasons()["ceiling"]
    head = ("unit", *(f"systemd {version}" for version in versions), "at most")
    rows = [[one, *(f"{found[one]['exposure']}" for found in versions.values()), f"{ceiling[one]}"] for one in units]
    return table(head, rows) + "\n" + table(("open", "in", "why"), _why(versions))


def _why(versions: Mapping[str, Found]) -> Iterable[Sequence[str]]:
    told = set[tuple[str, str]]()
    for reason in reasons()["open"]:
        here = [
            (unit, thing)
            for unit, thing in dict.fromkeys(
                (unit, thing) for found in versions.values() for unit, row in found.items() for thing in row["open"]
            )
            if (unit, thing) not in told and applies(reason, unit, thing) and _is_first(reason, unit, thing)
        ]
        told.update(here)
        things = ", ".join(f"`{thing}`" for thing in dict.fromkeys(thing for _, thing in here))
        if len(here) > 12:
            things = ", ".join("all that it looks at" if one == "*" else f"`{one}`" for one in reason["things"])
        yield things, ", ".join(dict.fromkeys(unit for unit, _ in here)), reason["why"]


def _is_first(reason: Mapping[str, Any], unit: str, thing: str) -> bool:
    return next(one for one in reasons()["open"] if applies(one, unit, thing)) == reason


def main() -> int:
    """Measure with what is here; versions that are not keep what is written."""
    versions = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    for tree in TREES:
        if (tree / "usr/bin/systemd-analyze").exists():
            version, found = measured(tree)
            versions[str(version)] = found
    FILE.write_text(json.dumps(dict(sorted(versions.items())), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
