# SPDX-License-Identifier: MIT
"""What every ring shares: a real systemd, the check that nothing is left behind, and an honest closing word."""

from __future__ import annotations

import contextlib
import os
import unittest.mock
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import carried
import leaks
import machine
import pytest
from machine import Manager

from strata.systemd import journal

# The rings whose tests run in this one process, where a leak would be their own.
_CLOSED_RINGS = {"pure", "conversation"}
_MODERN_TREE = Path(__file__).parent.parent / ".cache" / "debian13"


@pytest.fixture(scope="session")
def manager() -> Iterator[Manager]:
    """A real systemd as root: the machine's own, or a private one where PID 1 is something else."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for a real systemd system manager")
    with machine.machines_own() if machine.is_systemd() else machine.private() as found:
        yield found


@pytest.fixture(scope="module")
def modern_manager() -> Iterator[Manager]:
    """A private systemd of Debian 13 (257), for what Debian 12's (252) cannot do: RestartSteps and the like. A module's
    own: a Strata on it that is taken down takes it along."""
    _require_modern_tree()
    with machine.private(_MODERN_TREE, carried.into(_MODERN_TREE)) as found:
        yield found


@pytest.fixture(scope="module")
def pure_manager() -> Iterator[Manager]:
    """As `modern_manager`, with cgroup2 alone, whatever the machine has beside it."""
    _require_modern_tree()
    with contextlib.ExitStack() as stack:
        with unittest.mock.patch("strata.embedded.plan._NO_LEGACY", 0):  # while it boots: others may boot later
            found = stack.enter_context(machine.private(_MODERN_TREE, carried.into(_MODERN_TREE)))
        yield found


def _require_modern_tree() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, for a real systemd system manager")
    if not (_MODERN_TREE / "usr/lib/systemd/systemd").exists():
        pytest.skip("needs a Debian 13 tree: `scripts/modern-tree` makes one")


@pytest.fixture(scope="session", autouse=True)
def _journal() -> Iterator[None]:
    """The socket that a process opens once and keeps: no test is blamed for it, and it is closed after the last."""
    with journal._journal():
        yield


@pytest.fixture(autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    if _CLOSED_RINGS.isdisjoint(request.path.parts):
        yield
        return
    before = leaks.holdings()
    yield
    left = leaks.left_since(before)
    assert not left, "the test left behind: " + "; ".join(left)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Show what systemd and Strata's units had to say beside the failure of a live test."""
    report = yield
    used = getattr(item, "funcargs", {})
    if report.failed and report.when != "teardown":  # by then the systemd may be gone, as it should be
        for name, value in used.items():
            manager = value if isinstance(value, Manager) else getattr(value, "manager", None)
            if isinstance(manager, Manager):
                report.sections.append((f"journal of the {name}", manager.journal_tail()))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what this machine could not run, and why: a skip must never look like a pass."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else str(report.longrepr)
        for report in terminalreporter.stats.get("skipped", ())
    )
    whole = terminalreporter.config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if whole and not any(Path(__file__).parent.joinpath("vm").glob("test_*.py")):
        reasons["the vm ring (systemd as PID 1 of a machine, pure cgroup v2) is empty"] += 0
    if not reasons:
        return
    terminalreporter.section("NOT PROVEN ON THIS MACHINE", red=True, bold=True)
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count or 'all':>4} tests: {reason}", yellow=True)
