# SPDX-License-Identifier: MIT
"""The methods on terminals."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from typing import Any

from strata.errors import InvalidArgument
from strata.sandbox.params_session import Addressed
from strata.sandbox.params_terminal import AttachParams, ResizeParams, TerminalParams, size
from strata.sandbox.room import Room
from strata.sandbox.session import Session
from strata.sandbox.terminals import Terminals
from strata.sockets.method import Call, Method
from strata.systemd import audit, journal
from strata.types import Access

PART = "terminals"


def terminals_of(room: Room, session: Session) -> Terminals:
    """Those of a session."""
    found = session.parts.get(PART)
    if found is None:
        found = session.parts[PART] = Terminals(session, room.store, room.emptiness)
    assert isinstance(found, Terminals)
    return found


async def attach(room: Room, call: Call, params: AttachParams) -> AsyncIterator[dict[str, Any]]:
    """Look at a terminal and type into it through the passed end of a socket pair, until either is over."""
    window = size(params.rows, params.cols)
    if params.offset is not None and params.offset < 0:
        raise InvalidArgument("cannot attach: offset must not be negative", param="offset")
    sock = _socket(call)
    try:
        session = await room.ensure(call, params)
    except BaseException:
        sock.close()
        raise
    with session.active("attach"):
        terminals = terminals_of(room, session)
        attached = await terminals.attach(params.terminal, sock, window, params.offset, params.command)
        terminal, viewer = attached.terminal, attached.viewer
        journal.send(
            "sandbox.attach",
            f"{session.key.label}: {audit.subject(call)} looks at terminal {terminal.name}",
            session=session.key.label,
            subject=audit.subject(call),
            req_id=call.req_id,
        )
        try:
            yield {
                "attached": {
                    "terminal": terminal.name,
                    "viewer": viewer.number,
                    "viewers": len(terminal.viewers),
                    "offset": attached.begin,
                    "lost": attached.lost,
                    **(terminal.fitted or terminal.size)._asdict(),
                }
            }
            yield await asyncio.shield(viewer.ended)
        finally:
            viewer.leave({"ended": "closed"})


def resize(room: Room, call: Call, params: ResizeParams) -> dict[str, Any]:
    """A window has another size. The terminal is as high as the lowest and as wide as the narrowest window."""
    session = room.session(call, params)
    window = size(params.rows, params.cols)
    assert window is not None
    terminal = terminals_of(room, session).get(params.terminal)
    terminal.resize(window, params.viewer)
    return {"terminal": terminal.name, **(terminal.fitted or terminal.size)._asdict()}


def terminals(room: Room, call: Call, params: Addressed) -> dict[str, Any]:
    """All that are open."""
    return {"terminals": terminals_of(room, room.session(call, params)).summary()}


async def hangup(room: Room, call: Call, params: TerminalParams) -> dict[str, Any]:
    """End a terminal and all that runs in it; answers when nothing of it is left."""
    session = room.session(call, params)
    terminal = terminals_of(room, session).get(params.terminal)
    with session.active("hangup"):
        await terminal.hang_up()
    return {"terminal": terminal.name, "status": "ended"}


def _socket(call: Call) -> socket.socket:
    """A copy of the caller's descriptor. Raises InvalidArgument."""
    if len(call.descriptors) == 1 and _is_stream(call.descriptors[0]):
        return socket.socket(fileno=os.dup(call.descriptors[0]))
    raise InvalidArgument(
        "cannot attach: pass one descriptor with the call, an end of a stream socket pair (socketpair(2))"
    )


def _is_stream(fd: int) -> bool:
    """Whether it is a stream socket of this machine's. Neither copied nor closed for that: it may be anything."""
    try:
        found = socket.socket(fileno=fd)
    except OSError:
        return False
    kind = found.family, found.type
    found.detach()
    return kind == (socket.AF_UNIX, socket.SOCK_STREAM)


METHODS = (
    Method("sandbox.attach", Access.TOKEN, AttachParams, attach, "look at a terminal and type into it", cancel=True),
    Method("sandbox.resize", Access.TOKEN, ResizeParams, resize, "tell the size of a terminal's window"),
    Method("sandbox.terminals", Access.TOKEN, Addressed, terminals, "list the open terminals"),
    Method("sandbox.hangup", Access.TOKEN, TerminalParams, hangup, "end a terminal"),
)
