# SPDX-License-Identifier: MIT
"""How an exec ended and what it wrote, and the answer that says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from strata.sandbox.collected import elapsed, text
from strata.sandbox.shell.gathered import Gathered
from strata.sandbox.signalling import name

_KILLED = 128 + 9  # what a shell says of a command that SIGKILL ended


class End(NamedTuple):
    """Why an exec was over: `code` of the command or of the shell that it ended; or `signal`, which ended the shell."""

    ended: str  # exit, signal, timeout, oom or cancelled
    code: int | None = None
    signal: int | None = None
    error: str = ""


class Outcome(NamedTuple):
    """One exec. `state` of the shell: `restarted` when it began in a new shell, `ended` when it left none."""

    end: End
    gathered: Gathered
    seconds: float
    cpu_ms: float
    memory_peak: int | None
    cwd: str
    state: str = ""

    def fields(self) -> dict[str, Any]:
        """The answer without the streams."""
        said: dict[str, Any] = {"exit_code": self.end.code, "ended": self.end.ended}
        if self.end.signal is not None:
            said["signal"] = name(self.end.signal)
        if self.end.error:
            said["error"] = self.end.error
        if self.state:
            said["shell"] = self.state
        cost = {"cpu_ms": round(self.cpu_ms, 3), "memory_peak": self.memory_peak}
        return said | elapsed(self.seconds) | cost | {"truncated": self.gathered.truncated, "cwd": self.cwd}

    def streams(self) -> Mapping[str, bytes]:
        """What it wrote: `output` is both, in the order they were written."""
        out, err = self.gathered.streams
        return {"output": bytes(self.gathered.both), "stdout": bytes(out), "stderr": bytes(err)}


def whole(outcome: Outcome) -> dict[str, Any]:
    """The whole answer. Of `output` the line ends at its end are left out, as a shell's `$(…)` does (vector 132);
    `stdout` and `stderr` are as they came."""
    streams = outcome.streams()
    if not outcome.gathered.truncated:
        streams = {**streams, "output": streams["output"].rstrip(b"\n")}
    said = outcome.fields()
    for field, data in streams.items():
        said.update(text(field, data))
    return said


def of_code(code: int, oom_kills: int) -> End:
    """The command ended with this code, and the shell goes on."""
    return End("oom" if oom_kills and code == _KILLED else "exit", code)


def of_shell(code: int | None, signal: int | None, oom_kills: int, message: str) -> End:
    """The command ended the shell itself: it exited, was replaced by a program, or was killed."""
    if code is not None:
        return End("exit", code)
    if signal is not None:
        return End("oom" if oom_kills and signal == 9 else "signal", None, signal)
    return End("cancelled", error=message or "how the session's shell ended is not known")
