# SPDX-License-Identifier: MIT
"""The method that runs a command in a session's shell."""

from __future__ import annotations

import asyncio
import fcntl
import os
from typing import Any

import msgspec

from strata import values
from strata.errors import InvalidArgument
from strata.sandbox.collected import fitted
from strata.sandbox.params_exec import ExecParams
from strata.sandbox.room import Room
from strata.sandbox.session import Session
from strata.sandbox.shell.outcome import End, Outcome, whole
from strata.sandbox.shell.shell import Shell
from strata.sockets import frame
from strata.sockets.method import Call, Method
from strata.systemd import audit, journal
from strata.types import Access

PART = "shell"
_SURELY_FITS = frame.MAX_PAYLOAD // 8  # bytes of output: one takes 6 in JSON at most


def shell_of(room: Room, session: Session) -> Shell:
    """The session's."""
    found = session.parts.get(PART)
    if found is None:
        most = values.size(room.settings.output_max)
        found = session.parts[PART] = Shell(session, room.emptiness.inotify, room.store, most)
    assert isinstance(found, Shell)
    return found


async def execute(room: Room, call: Call, params: ExecParams) -> dict[str, Any]:
    """Run a command in the state that the one before it left. What a frame cannot carry is cut, or written to the
    memfd that came with the call."""
    command = params.wanted
    _check_memory(call)
    session = await room.ensure(call, params, lambda session: shell_of(room, session).begin())
    try:
        with session.active("exec"):
            outcome = await shell_of(room, session).run(command)
    except asyncio.CancelledError:
        _record(call, session, End("cancelled"))
        raise
    _record(call, session, outcome.end)
    return _answer(call, outcome)


def _answer(call: Call, outcome: Outcome) -> dict[str, Any]:
    written = sum(map(len, outcome.streams().values()))
    if written <= _SURELY_FITS:
        return whole(outcome)
    if call.descriptors:
        return {"written": _write(call.descriptors[0], msgspec.json.encode(whole(outcome)))}
    return fitted(outcome.fields(), outcome.streams(), call.req_id)


def _check_memory(call: Call) -> None:
    """Only memory of the caller's may be written to: a pipe or a disk could hold up everybody. Raises
    InvalidArgument."""
    try:
        if len(call.descriptors) > 1:
            raise OSError
        for fd in call.descriptors:
            fcntl.fcntl(fd, fcntl.F_GET_SEALS)  # memfd_create(2): of nothing else
    except OSError as error:
        raise InvalidArgument("cannot use what was passed: exec takes one memfd, for a large result") from error


def _write(fd: int, data: bytes) -> int:
    try:
        os.ftruncate(fd, 0)
        done = 0
        while done < len(data):
            done += os.pwrite(fd, data[done:], done)
    except OSError as error:
        raise InvalidArgument(f"cannot write the result to the passed memfd: {error.strerror}") from error
    return done


def _record(call: Call, session: Session, end: End) -> None:
    """Have it in the journal. A command may hold secrets: it is not named."""
    code = "" if end.code is None else f" {end.code}"

    def send() -> None:
        journal.send(
            "sandbox.exec",
            f"{session.key.label}: {audit.subject(call)} ran a command: {end.ended}{code}",
            session=session.key.label,
            subject=audit.subject(call),
            req_id=call.req_id,
        )

    journal.later(send)


METHODS = (
    Method(
        "sandbox.exec",
        Access.TOKEN,
        ExecParams,
        execute,
        "run a command in the session's shell",
        cancel=True,
        finish=True,
    ),
)
