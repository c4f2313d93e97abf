# SPDX-License-Identifier: MIT
"""What a process manager has to do to be measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Missing(Exception):
    """It cannot run here; the message says why."""


class ProcessManager(Protocol):
    """One manager with its services. Every one is started as soon as it is declared, and again whenever it ends, after
    the least delay that the manager allows; `delay` says which that is, `asked` how it is asked to do something."""

    name: str
    version: str
    delay: str
    asked: str

    def declare(self, names: Sequence[str]) -> None:
        """Let these be its services, and no others; returns when it has been told, not when they run."""

    def start(self, name: str) -> None:
        """Have a stopped one started; returns when the manager has answered."""

    def stop(self, name: str) -> None:
        """Have one stopped; returns when no process of it is left."""

    def managers(self) -> list[int]:
        """Its own processes, as this process sees them."""

    def close(self) -> None:
        """End it and all its services, and remove what it made."""
