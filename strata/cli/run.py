# SPDX-License-Identifier: MIT
"""`run`: one command in a sandbox with the streams that strata-ctl itself has, so that no byte passes through Python.

Its descriptors go to the sandbox service (SCM_RIGHTS, unix(7)), which gives them to the command. The connection is what
the command lives by: strata-ctl gone, however it went, is the command gone.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from strata.cli import direct, outcome, typed
from strata.cli.foreign import shown
from strata.cli.typed import Option, Typed
from strata.errors import Conflict, NotFound
from strata.sockets.client import Client

VERB = typed.Verb(
    "run",
    "[OPTIONS] [OWNER/SESSION] -- COMMAND [ARG...]",
    f"""Run one command in a sandbox, with this terminal's own input and output.

    The sandbox is opened if it is not there; without a name it is the `default` one of your own. Every run starts anew:
    `exec` is the one that remembers directory and variables. Signals are passed on.

    {outcome.HELP}
    """,
    (
        Option("detach", ("-d", "--detach"), "", "Leave it in the background; print its id for `sandbox output`."),
        Option(
            "env", ("-e", "--env"), "NAME=VALUE", "Set a variable; NAME alone takes its value from here.", many=True
        ),
        Option("workdir", ("-w", "--workdir"), "DIR", "Start in that directory of the sandbox instead of /root."),
        typed.TIMEOUT,
        typed.TOKEN_FILE,
    ),
)

STREAMS = ("stdin", "stdout", "stderr")
SIGNAL_SECONDS = 5.0
OF_TERMINALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
"""Signals that a terminal sends to a whole process group (termios(3)), and so do we."""

FORWARDED = (*OF_TERMINALS, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def main(argv: Sequence[str]) -> int:
    """Run what was typed; its exit code."""
    wanted = typed.read(VERB, argv)
    params = parameters(wanted)
    with direct.connect() as client:
        token = direct.token(wanted.last("token_file"))
        if wanted.given("detach"):
            print(direct.call(client, "run", params | {"background": True}, token)["id"])
            return 0
        try:
            return _attached(client, params, token)
        except Interrupted as error:
            return 128 + error.number


def parameters(wanted: Typed) -> dict[str, Any]:
    """What sandbox.run is asked for; what was not typed is left to the service. Raises InvalidArgument."""
    params: dict[str, Any] = {**wanted.place.params(), "argv": list(wanted.words)}
    if wanted.given("env"):
        params["env"] = typed.environment(wanted.values["env"])
    if wanted.given("workdir"):
        params["cwd"] = wanted.last("workdir")
    if wanted.given("timeout"):
        params["timeout_ms"] = typed.milliseconds(wanted.last("timeout"))
    return params


def _attached(client: Client, params: dict[str, Any], token: str) -> int:
    ours = [number for number in range(3) if _is_open(number)]
    params |= {"id": os.urandom(8).hex(), "descriptors": [STREAMS[number] for number in ours]}
    _forward_signals(params, token)
    result = direct.call(client, "run", params, token, ours)
    if reason := outcome.reason(result):
        sys.stderr.write(f"strata-ctl: {shown(reason)}\n")
    return outcome.code(result)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


class Interrupted(Exception):
    """A signal came for a command that is not there (yet): we end as the signal would have ended us."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _forward_signals(params: dict[str, Any], token: str) -> None:
    """What would end us goes to the command instead, which may have other ideas; we end when it does."""
    which = {name: params[name] for name in ("owner", "session", "id")}

    def forward(number: int, _frame: object) -> None:
        group = number in OF_TERMINALS
        wanted = which | {"signal": signal.Signals(number).name[3:], "group": group}
        try:
            with direct.connect(SIGNAL_SECONDS) as other:  # this one waits for the result
                direct.call(other, "signal", wanted, token)
        except (NotFound, Conflict) as error:
            raise Interrupted(number) from error

    for number in FORWARDED:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup(1) means it
            signal.signal(number, forward)
