# SPDX-License-Identifier: MIT
"""The methods on runs: programs with arguments, each apart from the session's shell."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import AsyncIterator
from typing import Any

from strata import values
from strata.errors import Conflict, InvalidArgument
from strata.sandbox import signalling
from strata.sandbox.collected import fitted
from strata.sandbox.foreground import Foreground
from strata.sandbox.params_run import OneRunParams, OutputParams, RunParams, SignalParams, WaitParams
from strata.sandbox.params_session import Addressed
from strata.sandbox.plan import Wanted, roles, wanted
from strata.sandbox.room import Room
from strata.sandbox.run import Run
from strata.sandbox.runs import Runs
from strata.sandbox.session import Session
from strata.sockets.method import Call, Method
from strata.systemd import audit, journal
from strata.types import Access

PART = "runs"
LONGEST_WAIT_MS = 600_000
_ID = re.compile(r"[0-9a-f]{8,32}", re.ASCII)


def runs_of(room: Room, session: Session) -> Runs:
    """Those of a session."""
    found = session.parts.get(PART)
    if found is None:
        found = session.parts[PART] = Runs(session, room.store, room.emptiness)
    assert isinstance(found, Runs)
    return found


async def run(room: Room, call: Call, params: RunParams) -> dict[str, Any]:
    """Run a program; answered when it has ended, or at once when it is to run in the background."""
    plan = wanted(params.argv, params.env, params.cwd, params.stdin, params.stdin_b64, params.timeout_ms)
    given = roles(params.descriptors, call.descriptors)
    if params.background and given.keys() - {"stdin"}:
        raise InvalidArgument(
            "cannot pass stdout or stderr to a background run: its output is kept, see sandbox.output",
            param="descriptors",
        )
    session = await room.ensure(call, params)
    known = runs_of(room, session)
    number = _number(params, known)
    if params.background:
        return await _in_background(call, session, known, number, plan, given)
    with session.active(f"run {plan.argv[0][:80]}"):
        foreground = Foreground(session, room.emptiness, number, values.size(room.settings.output_max))
        with _recorded(call, session, number, plan) as end, known.attended(number, foreground):
            answer, output = await foreground.run(plan, given)
            end |= answer
    return fitted({"id": number, **answer}, output.streams, call.req_id)


async def _in_background(
    call: Call, session: Session, known: Runs, number: str, plan: Wanted, given: dict[str, int]
) -> dict[str, Any]:
    with session.active("run"), _recorded(call, session, number, plan) as end:
        await known.start(number, plan, given)
        end["ended"] = "in the background"
    return {"id": number, "state": "running"}


def runs(room: Room, call: Call, params: Addressed) -> dict[str, Any]:
    """The background runs that are known, the oldest first."""
    return {"runs": runs_of(room, room.session(call, params)).describe()}


async def output(room: Room, call: Call, params: OutputParams) -> AsyncIterator[dict[str, Any]]:
    """What a background run wrote, from an offset of each stream on; last, how it stands."""
    offsets = _offsets(params)
    session, found = _run(room, call, params)
    with session.active("output"):
        async with contextlib.aclosing(found.output(offsets, params.follow)) as pieces:
            async for piece in pieces:
                yield piece


def signal(room: Room, call: Call, params: SignalParams) -> dict[str, Any]:
    """Send a signal to a program."""
    number = signalling.number(params.signal)
    session = room.session(call, params)
    session.touch()
    if not (reached := runs_of(room, session).signal(params.id, number, params.group)):
        raise Conflict(f"cannot signal {params.id}: it has ended, or has not begun")
    return {"id": params.id, "signal": signalling.name(number), "processes": reached}


async def kill(room: Room, call: Call, params: OneRunParams) -> dict[str, Any]:
    """SIGKILL to a program and to all that it started; answered when nothing of it runs any more."""
    session, found = _run(room, call, params)
    with session.active("kill"):
        await found.kill()
        return found.describe()


async def wait(room: Room, call: Call, params: WaitParams) -> dict[str, Any]:
    """How a run stands, as soon as it has ended, or after a while."""
    if not 0 <= params.wait_ms <= LONGEST_WAIT_MS:
        raise InvalidArgument(f"wait_ms must be 0 to {LONGEST_WAIT_MS}", param="wait_ms")
    session, found = _run(room, call, params)
    with session.active("wait"):
        await found.wait(params.wait_ms / 1000)
        return found.describe()


def _number(params: RunParams, known: Runs) -> str:
    """The id that the caller chose, or a new one. Raises InvalidArgument, Conflict."""
    if params.id is None:
        return secrets.token_hex(8)
    if not _ID.fullmatch(params.id):
        raise InvalidArgument("cannot use the id: it must be 8 to 32 of 0-9 and a-f", param="id")
    if known.is_taken(params.id):
        raise Conflict(f"cannot run: there is a run {params.id} already; choose another id")
    return params.id


def _run(room: Room, call: Call, params: OneRunParams) -> tuple[Session, Run]:
    session = room.session(call, params)
    return session, runs_of(room, session).get(params.id)


def _offsets(params: OutputParams) -> dict[str, int]:
    offsets = params.offset or {}
    for name, offset in offsets.items():
        if name not in ("stdout", "stderr") or type(offset) is not int or offset < 0:
            raise InvalidArgument(
                "offset must be an object of stdout and stderr with numbers from 0 on", param="offset"
            )
    return offsets


@contextlib.contextmanager
def _recorded(call: Call, session: Session, number: str, plan: Wanted) -> Any:
    """Have it in the journal, however it ends. Arguments may hold secrets: only the program is named."""
    end: dict[str, Any] = {"ended": "cancelled"}
    try:
        yield end
    finally:
        code = f" {end['exit_code']}" if end.get("exit_code") is not None else ""
        journal.later(
            lambda: journal.send(
                "sandbox.run",
                f"{session.key.label}: {audit.subject(call)} ran {plan.argv[0][:200]}: {end['ended']}{code}",
                session=session.key.label,
                subject=audit.subject(call),
                req_id=call.req_id,
                run=number,
            )
        )


METHODS = (
    Method(
        "sandbox.run",
        Access.TOKEN,
        RunParams,
        run,
        "run a program, in the foreground or background",
        cancel=True,
        finish=True,
    ),
    Method("sandbox.runs", Access.TOKEN, Addressed, runs, "the background runs"),
    Method("sandbox.output", Access.TOKEN, OutputParams, output, "what a background run wrote", cancel=True),
    Method("sandbox.signal", Access.TOKEN, SignalParams, signal, "send a signal to a background run"),
    Method("sandbox.kill", Access.TOKEN, OneRunParams, kill, "kill all of a background run"),
    Method("sandbox.wait", Access.TOKEN, WaitParams, wait, "wait for the end of a background run", cancel=True),
)
