# SPDX-License-Identifier: MIT
"""Parameters of sandbox.exec."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from strata.errors import InvalidArgument
from strata.sandbox.params_session import Addressed
from strata.sandbox.plan import given_input
from strata.sandbox.shell.shell import Command

USUAL_MS = 30_000


class ExecParams(Addressed, frozen=True, kw_only=True):
    """Parameters of sandbox.exec."""

    command: Annotated[str | None, Meta(description="what the session's shell is to run: any number of lines")] = None
    timeout_ms: Annotated[int, Meta(description="the command is ended after so long; 30000 if 0 or less")] = 0
    stdin: Annotated[str | None, Meta(description="what the command reads; absent: nothing")] = None

    stdin_b64: Annotated[str | None, Meta(description="the same, as base64")] = None

    @property
    def wanted(self) -> Command:
        """What is to be run. Raises InvalidArgument."""
        if not self.command:
            raise InvalidArgument("command is required", param="command")
        if "\0" in self.command:
            raise InvalidArgument("cannot run: the command has a NUL in it, which no shell reads", param="command")
        milliseconds = self.timeout_ms if self.timeout_ms > 0 else USUAL_MS
        return Command(self.command.encode(), milliseconds / 1000, given_input(self.stdin, self.stdin_b64))
