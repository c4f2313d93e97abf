# SPDX-License-Identifier: MIT
"""Names and limits of the units that peers are given by systemd-run."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.peers.contract import MEMORY, TASKS, Argv, Box
from benchmarks.peers.processes import UNITS

LIMITS = ("--property", f"MemoryMax={MEMORY}", "--property", f"TasksMax={TASKS}")


def unit(box: Box, suffix: str) -> str:
    """The name of a sandbox's unit."""
    return f"{UNITS}{box.name}.{suffix}"


def scope(box: Box, command: Argv) -> Argv:
    """A command in a scope with limits."""
    name = unit(box, "scope")
    return ["systemd-run", "--quiet", "--collect", "--scope", f"--unit={name}", *LIMITS, "--", *command]


def stop(suffix: str) -> Callable[[Box], Argv]:
    """What ends the unit with all that is in it, at once: `systemctl stop` would ask with SIGTERM and wait.

    A scope may count as ended while its process lives (systemd#36781), and is not loaded then: the process itself is
    killed after this anyway, and what is left is counted.
    """
    script = 'systemctl kill --signal=KILL "$0" || ! systemctl --quiet is-active "$0"'
    return lambda box: ["sh", "-c", script, unit(box, suffix)]
