# SPDX-License-Identifier: MIT
"""How a command in a sandbox ended, as the exit code of the program that ran it."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

TIMEOUT = 124
"""As timeout(1)."""

FAILED = 125
"""Strata itself failed, and the command did not run or nobody knows what became of it; as env(1) and docker-run(1)."""

NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""The command could not be started, as sh(1) says it; these come from the sandbox service."""

OOM = 137
"""128 + SIGKILL: the kernel killed it for lack of memory."""

CANCELLED = 130
"""128 + SIGINT."""

HELP = f"""Exit code: the command's own; 128 + N if signal N ended it; {TIMEOUT} if its time was up; {OOM} if the memory
    of the sandbox was; {NOT_EXECUTABLE} or {NOT_FOUND} if it could not be started; {FAILED} if Strata itself failed."""


def code(result: Mapping[str, Any]) -> int:
    """The exit code for a result of exec, run or wait."""
    ended = result.get("ended")
    if ended == "timeout":
        return TIMEOUT
    if ended == "oom":
        return OOM
    if ended == "cancelled":
        return CANCELLED
    if ended == "signal":
        return 128 + number(result.get("signal"))
    exit_code = result.get("exit_code")
    return exit_code if isinstance(exit_code, int) else FAILED


def number(name: Any) -> int:
    """The number of a signal: 15 for 15, "TERM" or "SIGTERM"; 0 for what is none."""
    if isinstance(name, int):
        return name
    text = str(name or "").upper().removeprefix("SIG")
    try:
        return int(signal.Signals[f"SIG{text}"])
    except KeyError:
        return int(text) if text.isdecimal() else 0


def reason(result: Mapping[str, Any]) -> str:
    """What a person should know beside the exit code; "" when it ended by itself."""
    ended = result.get("ended")
    if ended == "oom":
        return "ended for lack of memory: the session's limit was reached; see `strata-ctl sandbox describe`"
    if ended == "timeout":
        return f"ended after {result.get('elapsed', 'its time limit')}: its time was up"
    if result.get("shell") == "restarted":
        return "the session's shell had to be started anew; its variables and functions are gone, its files are not"
    return str(result.get("error") or "")  # of a signal, or why it could not be started
