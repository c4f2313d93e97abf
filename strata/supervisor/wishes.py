# SPDX-License-Identifier: MIT
"""The operator's wish that a service be stopped: the one thing systemd cannot tell, for it forgets a stopped unit.

An empty file per stopped service in the runtime directory: it outlives the supervisor, not the boot.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from strata.errors import Internal, ResourceExhausted


class Wishes:
    """Which services are to be stopped."""

    def __init__(self, directory: Path) -> None:
        """Read what `directory` holds, making it if need be."""
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._directory = directory
        self._stopped = {entry.name for entry in directory.iterdir()}

    def stopped(self, name: str) -> bool:
        """Whether the operator wished `name` stopped."""
        return name in self._stopped

    def stop(self, name: str) -> None:
        """Record the wish. Raises when it cannot be recorded: nothing must be stopped that would come back unasked."""
        try:
            self._directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            (self._directory / name).touch()
        except OSError as error:
            kind = ResourceExhausted if error.errno in (errno.ENOSPC, errno.EDQUOT) else Internal
            raise kind(f"cannot record that {name} is to be stopped: {error.strerror}") from error
        self._stopped.add(name)

    def run(self, name: str) -> None:
        """Take the wish back. Raises when it cannot be: the next supervisor would take it for stopped."""
        try:
            (self._directory / name).unlink(missing_ok=True)
        except OSError as error:
            raise Internal(f"cannot take back that {name} is to be stopped: {error.strerror}") from error
        self._stopped.discard(name)

    def forget(self) -> None:
        """Drop every wish: the supervisor ends in good order, and its next start begins anew."""
        for name in tuple(self._stopped):
            self.run(name)
        if self._directory.exists():
            os.rmdir(self._directory)
