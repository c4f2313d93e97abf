# SPDX-License-Identifier: MIT
"""Which quantities are judged, and what each may grow by: the one place where "flat" has figures."""

from __future__ import annotations

import re

from soak_judge import Allowance

RULES: tuple[tuple[str, Allowance], ...] = (
    # MiB that a process has for itself. Python's arenas are never whole when they are given back: the noise.
    (r"identity: .*: own memory", Allowance(4.0, 2.0, 0.3, "what is revoked is remembered until no token can matter")),
    (r"fs: .*: own memory", Allowance(4.0, 2.0, 0.3, "as identity, and verified tokens: at most 4096")),
    (r"sandbox: sandbox.main: own memory", Allowance(5.0, 2.0, 0.15, "as identity, and verified tokens: at most 4096")),
    (r"api: .*: own memory", Allowance(8.0, 4.0, 0.15, "arenas of HTTP/2 and TLS; MCP sessions: at most 512")),
    (r".*: own memory", Allowance(3.0, 2.0, 0.02)),
    (r"api: api.main: descriptors", Allowance(40.0, why="64 connections are kept between calls")),
    (r"sandbox: sandbox.main: descriptors", Allowance(100.0, why="ten for each session that is open at the moment")),
    (r".*: descriptors", Allowance(12.0)),
    (r".*: threads", Allowance(6.0)),
    # All that sessions and services leave behind.
    (r"processes", Allowance(25.0)),
    (r"cgroups", Allowance(120.0, why="as many as sessions are open, in each hierarchy")),
    (r"loop devices", Allowance(5.0)),
    (r"mounts of .*", Allowance(20.0)),
    (r"names of units", Allowance(15.0)),
    (r"failed units", Allowance(3.0)),
    (r"jobs", Allowance(3.0)),
    (r"runtime directory: files", Allowance(15.0)),
    (r"state directory: files", Allowance(250.0, why="sessions and snapshots that are open at the moment")),
    (r"state directory: MiB", Allowance(25.0, 0.0, 0.1, "as above; 70 bytes for each revocation")),
    (r"/run/systemd: files", Allowance(40.0)),
    (r"journal: MiB", Allowance(24.0, 0.0, 8.0, "audit: a record for each call; journald keeps to its own bound")),
)
"""The first that matches a quantity's whole name counts; what none matches is shown and not judged."""

AFTERWARDS: tuple[tuple[str, float], ...] = (
    (r"processes|cgroups|loop devices|mounts of .*|jobs|failed units", 0.0),
    (r"names of units", 0.0),
    (r"/run/systemd: files", 4.0),
    (r"runtime directory: files", 0.0),
    (r"state directory: files", 2.0),
)
"""What may be more when all are gone than it was before they came."""


def allowance(name: str) -> Allowance | None:
    """The rule for a quantity."""
    return next((rule for pattern, rule in RULES if re.fullmatch(pattern, name)), None)


def left(name: str) -> float | None:
    """How much more of it there may be afterwards; None for what is not asked then."""
    return next((most for pattern, most in AFTERWARDS if re.fullmatch(pattern, name)), None)
