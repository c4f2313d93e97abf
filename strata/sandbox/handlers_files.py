# SPDX-License-Identifier: MIT
"""The methods on a session's files. The work is done by a worker inside (strata/sandbox/files/), never here."""

from __future__ import annotations

import base64
import binascii
import contextlib
import functools
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec

from strata.errors import InvalidArgument
from strata.sandbox.params_files import (
    FilesParams,
    GetParams,
    MkdirParams,
    MoveParams,
    PathParams,
    PutParams,
    RemoveParams,
    WatchParams,
    cursor,
    mode,
    not_negative,
    place,
)
from strata.sandbox.room import Room
from strata.sandbox.session import Session
from strata.sockets.method import Call, Method
from strata.systemd import audit, journal
from strata.types import Access

INLINE = 524_288
"""Bytes of a file in one frame; more goes through a descriptor."""

_TEXT_BYTES = 700_000  # of a frame, for data as JSON text; in base64 INLINE bytes take as much


async def stat(room: Room, call: Call, params: PathParams) -> dict[str, Any]:
    """What a path names, a link itself."""
    return await room.session(call, params).work("stat", params.place)


async def list_files(room: Room, call: Call, params: FilesParams) -> dict[str, Any]:
    """The names in a directory."""
    return await room.session(call, params).work("list", params.place | cursor(params))


async def mkdir(room: Room, call: Call, params: MkdirParams) -> dict[str, Any]:
    """Make a directory."""
    session = room.session(call, params)
    done = await session.work("mkdir", params.place | {"parents": params.parents} | mode(params.mode))
    record(call, session, done["path"])
    return done


async def move(room: Room, call: Call, params: MoveParams) -> dict[str, Any]:
    """Give a file or directory another name."""
    session = room.session(call, params)
    places = place("from", params.source, params.source_b64) | place("to", params.to, params.to_b64)
    done = await session.work("move", places | {"replace": params.replace})
    record(call, session, done["from"], f"to {done['to'][:_LONGEST_SHOWN]}")
    return done


async def remove(room: Room, call: Call, params: RemoveParams) -> dict[str, Any]:
    """Remove a file or directory."""
    session = room.session(call, params)
    done = await session.work("remove", params.place | {"recursive": params.recursive})
    record(call, session, done["path"])
    return done


async def put(room: Room, call: Call, params: PutParams) -> dict[str, Any]:
    """Make a file of what comes: whole, or not at all."""
    session = room.session(call, params)
    wanted = params.place | mode(params.mode) | not_negative(size=params.size)
    if params.sha256 is not None:
        wanted["sha256"] = _digest(params.sha256)
    with _source(call, params) as fd:
        done = await session.work("put", wanted, [fd])
    record(call, session, done["path"], f"{done['size']} bytes")
    return done


@contextlib.contextmanager
def _source(call: Call, params: PutParams) -> Iterator[int]:
    """The descriptor that came, or one of the data that did."""
    given = [params.data is not None, params.data_b64 is not None, bool(call.descriptors)]
    if sum(given) != 1 or len(call.descriptors) > 1:
        raise InvalidArgument("give data, data_b64 or one descriptor", param="data")
    if call.descriptors:
        yield call.descriptors[0]
        return
    data = params.data.encode() if params.data is not None else _decoded(params.data_b64 or "")
    if len(data) > INLINE:
        raise InvalidArgument(f"data has more than {INLINE} bytes; pass a descriptor instead", param="data")
    with _memory() as fd:
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument("data_b64 must be base64", param="data_b64") from error


def _digest(text: str) -> str:
    if len(text) != 64 or not set(text.lower()) <= set("0123456789abcdef"):
        raise InvalidArgument("sha256 must be 64 hexadecimal digits", param="sha256")
    return text


@contextlib.contextmanager
def _memory() -> Iterator[int]:
    fd = os.memfd_create("strata-file", os.MFD_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


async def get(room: Room, call: Call, params: GetParams) -> dict[str, Any]:
    """A file, or a piece of it: into the descriptor that came, else into the answer."""
    session = room.session(call, params)
    wanted = params.place | not_negative(offset=params.offset, size=params.size)
    if len(call.descriptors) > 1:
        raise InvalidArgument("give one descriptor at most")
    if call.descriptors:
        done = await session.work("get", wanted, call.descriptors)
    else:
        done = await _get_inline(session, wanted)
    record(call, session, done["path"], f"{done['size']} bytes")
    return done


async def _get_inline(session: Session, wanted: dict[str, Any]) -> dict[str, Any]:
    if wanted.get("size", 0) > INLINE:
        raise InvalidArgument(f"size must be at most {INLINE} where no descriptor is passed", param="size")
    with _memory() as fd:
        done = await session.work("get", {**wanted, "size": wanted.get("size") or INLINE}, [fd])
        return done | shown(os.pread(fd, INLINE, 0))


def shown(data: bytes) -> dict[str, str]:
    """{data} where the bytes are UTF-8 and not much longer as JSON, else {data_b64}."""
    with contextlib.suppress(UnicodeDecodeError):
        text = data.decode()
        if len(data) * 6 <= _TEXT_BYTES or len(msgspec.json.encode(text)) <= _TEXT_BYTES:
            return {"data": text}
    return {"data_b64": base64.b64encode(data).decode("ascii")}


async def watch(room: Room, call: Call, params: WatchParams) -> AsyncIterator[dict[str, Any]]:
    """Changes of a file, a directory or a tree, as they happen, until the caller hangs up."""
    session = room.session(call, params)
    theirs, ours = os.pipe2(os.O_CLOEXEC)  # should this process die, the worker sees its end of it
    try:
        events = session.stream("watch", params.place | {"recursive": params.recursive}, [theirs])
        async with contextlib.aclosing(events):
            async for event in events:
                yield event
    finally:
        os.close(theirs)
        os.close(ours)


def record(call: Call, session: Session, path: str, detail: str = "") -> None:
    """Write down who touched what; later than the answer."""
    who, shown_path = audit.subject(call), path[:_LONGEST_SHOWN]
    journal.later(
        functools.partial(
            journal.send,
            call.method,
            f"{session.key.label}: {who}: {call.method} {shown_path} {detail}".rstrip(),
            session=session.key.label,
            subject=who,
            req_id=call.req_id,
            resource=shown_path,
        )
    )


_LONGEST_SHOWN = 4096

METHODS = (
    Method("sandbox.put", Access.TOKEN, PutParams, put, "make a file of what comes, whole or not at all", cancel=True),
    Method("sandbox.get", Access.TOKEN, GetParams, get, "a file, or a piece of it", cancel=True, finish=True),
    Method("sandbox.files", Access.TOKEN, FilesParams, list_files, "the names in a directory"),
    Method("sandbox.list_files", Access.TOKEN, FilesParams, list_files, "the same"),
    Method("sandbox.stat", Access.TOKEN, PathParams, stat, "kind, size, mode and times of a file"),
    Method("sandbox.mkdir", Access.TOKEN, MkdirParams, mkdir, "make a directory"),
    Method("sandbox.move", Access.TOKEN, MoveParams, move, "give a file or directory another name"),
    Method("sandbox.remove", Access.TOKEN, RemoveParams, remove, "remove a file or directory"),
    Method("sandbox.watch", Access.TOKEN, WatchParams, watch, "tell of changes as they happen", cancel=True),
)
