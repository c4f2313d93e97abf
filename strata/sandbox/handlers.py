# SPDX-License-Identifier: MIT
"""The methods of the sandbox room, and the parts that a session may have."""

from __future__ import annotations

from strata.sandbox import (
    handlers_exec,
    handlers_files,
    handlers_layers,
    handlers_run,
    handlers_session,
    handlers_terminal,
)
from strata.sandbox.room import Room

METHODS = (
    *handlers_session.METHODS,
    *handlers_exec.METHODS,
    *handlers_run.METHODS,
    *handlers_terminal.METHODS,
    *handlers_files.METHODS,
    *handlers_layers.METHODS,
)
PARTS = (handlers_exec.shell_of, handlers_run.runs_of, handlers_terminal.terminals_of)


def adopt(room: Room) -> None:
    """Have every part of every session take back what outlived the last room."""
    for session in room.sessions.values():
        for part_of in PARTS:
            part_of(room, session).adopt()
