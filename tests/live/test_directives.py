# SPDX-License-Identifier: MIT
"""Every row of the directive table, set on a transient unit of a real manager and read back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from machine import Manager

from strata.errors import InvalidArgument
from strata.units.directives import NOT_TRANSIENT, TABLE, lookup
from strata.units.rows import Row

PROBE = Path(__file__).with_name("directive_probe.py")
ROWS = [(section, row) for section, rows in TABLE.items() for row in rows.values()]
NAMES = [f"{section}.{row.name}" for section, row in ROWS]


def probe(manager: Manager) -> dict[str, str]:
    """What the probe found, run where the manager's private socket can see who asks: in its PID namespace."""
    command = [sys.executable, str(PROBE), manager.bus_address]
    if manager.embedded is None:
        command += ["/"]
    else:
        pid = str(manager.embedded.pid)
        command = ["nsenter", "--target", pid, "--pid", "--", *command, f"/proc/{pid}/root"]
    answer = subprocess.run([*command, str(manager.version)], capture_output=True, text=True, check=False, timeout=55)
    assert answer.returncode == 0, answer.stderr
    found: dict[str, str] = json.loads(answer.stdout)
    return found


@pytest.fixture(scope="module")
def found(manager: Manager) -> dict[str, str]:
    return probe(manager)


@pytest.fixture(scope="module")
def found_on_modern(modern_manager: Manager) -> dict[str, str]:
    return probe(modern_manager)


@pytest.mark.parametrize(("section", "row"), ROWS, ids=NAMES)
def test_directive_is_set_and_read_back(manager: Manager, found: dict[str, str], section: str, row: Row) -> None:
    """What a unit's text says is what systemd then says of the unit."""
    if row.since > manager.version:
        pytest.skip(f"a directive of systemd {row.since}, here runs {manager.version}")
    assert not found[f"{section}.{row.name}"]


@pytest.mark.parametrize(("section", "row"), ROWS, ids=NAMES)
def test_directive_holds_on_a_modern_systemd(
    modern_manager: Manager, found_on_modern: dict[str, str], section: str, row: Row
) -> None:
    """The same on the systemd of Debian 13, which also takes what came after v252."""
    if row.since > modern_manager.version:
        pytest.skip(f"a directive of systemd {row.since}, there runs {modern_manager.version}")
    assert not found_on_modern[f"{section}.{row.name}"]


def test_every_directive_that_systemd_knows_is_in_the_table_or_explained(manager: Manager) -> None:
    """`systemd --dump-configuration-items` lists what unit files may hold; none of it is unknown to the table."""
    assert not _unknown(manager)


def test_every_directive_of_a_modern_systemd_is_in_the_table_or_explained(modern_manager: Manager) -> None:
    """The same with the directives of Debian 13."""
    assert not _unknown(modern_manager)


def _unknown(manager: Manager) -> list[str]:
    answer = manager.run(["/usr/lib/systemd/systemd", "--dump-configuration-items"])
    assert answer.returncode == 0, answer.stderr
    known = _listed(answer.stdout)
    assert len(known) > 500
    return [f"{section}.{name}" for section, name in sorted(known) if not _explained(section, name)]


def _listed(text: str) -> set[tuple[str, str]]:
    section, found = "", set()
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif "=" in line and (section in TABLE or section in NOT_TRANSIENT):
            found.add((section, line.partition("=")[0]))
    return found


def _explained(section: str, name: str) -> bool:
    try:
        lookup(section, name)
    except InvalidArgument as error:
        return "no such directive" not in error.message
    return True
