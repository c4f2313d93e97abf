# SPDX-License-Identifier: MIT
"""The methods of fs. Each is answered at once when the kernel has all it needs in memory, else by way of a thread."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Awaitable
from typing import Any

from strata import files
from strata.errors import InvalidArgument, PermissionDenied, StrataError
from strata.fs import audit, beneath, kernel, listing, reading, writing
from strata.fs.beneath import Opened, Wanted
from strata.fs.handles import Handle
from strata.fs.params import (
    CloseParams,
    ListParams,
    OpenParams,
    ReadParams,
    RevokeParams,
    StatParams,
    WriteParams,
)
from strata.fs.prefix import Place
from strata.fs.room import Room, failing
from strata.policy.authorize import permit
from strata.sockets.method import Call, Method
from strata.systemd import journal
from strata.types import Access

DEFAULT_SIZE = 4096
_MOST_OFFSET = 2**63 - 1 - reading.MAX_SIZE  # off_t
_MODES = {"r": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR}


def open_file(room: Room, call: Call, params: OpenParams) -> dict[str, str] | Awaitable[dict[str, str]]:
    """A handle on a regular file or a directory."""
    wanted = _wanted(params)
    place = room.place(call, params.path)
    if wanted.access != os.O_RDONLY:
        permit(call.claims, "fs.write")
    room.handles.check_room(call.claims)
    if wanted == beneath.READ:
        try:
            return _admit(room, call, place, wanted, beneath.take(place, cached=True))
        except BlockingIOError:
            pass
        except OSError as error:
            raise failing("open", place)(error) from error
    return _open_slowly(room, call, place, wanted)


async def _open_slowly(room: Room, call: Call, place: Place, wanted: Wanted) -> dict[str, str]:
    opened = await room.in_thread(call, functools.partial(_take, room, call, place, wanted), failing("open", place))
    return _admit(room, call, place, wanted, opened)


def _take(room: Room, call: Call, place: Place, wanted: Wanted) -> Opened:
    """In a thread: until it was its turn the capability may have been revoked, and opening may make or empty a file."""
    room.trust.check(call.claims)
    return beneath.take(place, wanted)


def _admit(room: Room, call: Call, place: Place, wanted: Wanted, opened: Opened) -> dict[str, str]:
    try:
        room.trust.check(call.claims)  # it may have been revoked while the disk was busy
    except StrataError:
        room.handles.refuse(opened, call.claims)
        raise
    handle = room.handles.add(opened, place, call.claims, wanted.access)
    audit.done(call, place)
    return {"handle": handle.id}


def read_file(room: Room, call: Call, params: ReadParams) -> reading.ReadResult | Awaitable[reading.ReadResult]:
    """A piece of an open file."""
    handle = room.handles.bound(params.handle, room.allow(call))
    size = _size(params.size)
    _check_offset(params.offset)
    if handle.opened.is_dir or handle.access == os.O_WRONLY:
        why = "it is a directory; use fs.list" if handle.opened.is_dir else "it was opened for writing only"
        raise InvalidArgument(f"cannot read {handle.id}: {why}")
    try:
        chunk = reading.at_once(handle.fd, handle.opened.in_memory, params.offset, size)
    except OSError as error:
        raise failing("read", handle.place)(error) from error
    if chunk is None:
        return _read_slowly(room, call, handle, params.offset, size)
    result = reading.result(chunk, call.req_id)
    room.reads.note(call, handle, result.bytes_read)
    return result


async def _read_slowly(room: Room, call: Call, handle: Handle, offset: int, size: int) -> reading.ReadResult:
    own = os.dup(handle.fd)  # the handle may be closed meanwhile, and its number used again for another file

    def work() -> reading.ReadResult:
        try:
            return reading.result(reading.waiting(own, offset, size), call.req_id)
        finally:
            os.close(own)

    result = await room.in_thread(call, work, failing("read", handle.place))
    _still_held(room, call, handle)
    room.reads.note(call, handle, result.bytes_read)
    return result


def write_file(room: Room, call: Call, params: WriteParams) -> Awaitable[dict[str, int]]:
    """Write at an offset, by handle or by path."""
    data = writing.content(params.data, params.data_b64)
    _check_offset(params.offset)
    if _one_of(params.path, params.handle) == "path":
        place = room.place(call, params.path or "")
        return _write(room, call, place, functools.partial(_write_path, room, call, place, params, data))
    if params.create:
        raise InvalidArgument("create needs a path: the file of a handle is there already", param="create")
    handle = room.handles.bound(params.handle or "", room.allow(call))
    if handle.access == os.O_RDONLY:
        raise PermissionDenied(f"cannot write {handle.id}: it was opened for reading only", cap_id=call.claims.jti)
    own = os.dup(handle.fd)
    return _write(room, call, handle.place, functools.partial(_write_and_close, room, call, own, params, data))


async def _write(room: Room, call: Call, place: Place, work: functools.partial[writing.Written]) -> dict[str, int]:
    written = await room.in_thread(call, work, failing("write", place))
    audit.done(call, place)
    if written.error:
        failure = failing("write", place)(written.error)
        failure.details["bytes_written"] = written.done
        raise failure
    return {"bytes_written": written.done}


def _write_path(room: Room, call: Call, place: Place, params: WriteParams, data: bytes) -> writing.Written:
    opened = _take(room, call, place, Wanted(os.O_WRONLY, params.create))
    return _write_and_close(room, call, opened.fd, params, data)


def _write_and_close(room: Room, call: Call, fd: int, params: WriteParams, data: bytes) -> writing.Written:
    try:
        room.trust.check(call.claims)  # as in _take
        return writing.write(fd, params.offset, data, params.truncate)
    finally:
        os.close(fd)


async def list_directory(room: Room, call: Call, params: ListParams) -> dict[str, Any]:
    """The names in a directory."""
    place = room.place(call, params.path)
    work = functools.partial(_list, place, params.cursor, call.req_id)
    result = await room.in_thread(call, work, failing("list", place, "directory"))
    room.trust.check(call.claims)
    audit.done(call, place)
    return result


def _list(place: Place, cursor: str | None, req_id: str) -> dict[str, Any]:
    opened = beneath.take(place)
    try:
        if not opened.is_dir:
            raise InvalidArgument(f"cannot list {place.path}: it is not a directory")
        return listing.page(opened.fd, cursor, req_id)
    finally:
        os.close(opened.fd)


def stat_file(room: Room, call: Call, params: StatParams) -> dict[str, Any] | Awaitable[dict[str, Any]]:
    """Kind, size, permissions and time of last change of the content."""
    if _one_of(params.path, params.handle) == "handle":
        handle = room.handles.bound(params.handle or "", room.allow(call))
        audit.done(call, handle.place)
        return _shown(kernel.statx(handle.fd, sync=False))
    place = room.place(call, params.path or "")
    try:
        found = beneath.status(place, cached=True)
    except BlockingIOError:
        return _stat_slowly(room, call, place)
    except OSError as error:
        raise failing("stat", place)(error) from error
    audit.done(call, place)
    return _shown(found)


async def _stat_slowly(room: Room, call: Call, place: Place) -> dict[str, Any]:
    found = await room.in_thread(call, functools.partial(beneath.status, place, False), failing("stat", place))
    room.trust.check(call.claims)
    audit.done(call, place)
    return _shown(found)


def _shown(found: kernel.Stat) -> dict[str, Any]:
    return {
        "kind": files.kind(found.mode),
        "is_dir": stat.S_ISDIR(found.mode),
        "size": found.size,
        "mode": f"{stat.S_IMODE(found.mode):04o}",
        "mtime": found.mtime_ns / 1_000_000_000,
    }


def close_handle(room: Room, call: Call, params: CloseParams) -> dict[str, str]:
    """Give a handle back. To hold it is right enough: closing takes nothing that opening did not give."""
    if call.claims.service != "fs":
        raise PermissionDenied('token not valid for service "fs"', cap_id=call.claims.jti)
    handle = room.handles.bound(params.handle, call.claims)
    room.handles.close(handle)
    audit.done(call, handle.place)
    return {"status": "closed"}


def revoke(room: Room, call: Call, params: RevokeParams) -> dict[str, str]:
    """Refuse a capability here, until identity next sends its whole list. The lasting way is identity.revoke."""
    room.trust.revoke([params.cap_id])
    journal.send(
        "cap.revoked",
        f"{params.cap_id} revoked in fs",
        service="fs",
        action=call.method,
        cap_id=params.cap_id,
        req_id=call.req_id,
        subject=f"uid:{call.peer.uid}",
    )
    return {"status": "revoked"}


def _wanted(params: OpenParams) -> Wanted:
    access = _MODES.get(params.mode)
    if access is None:
        raise InvalidArgument(f'unknown mode {params.mode[:32]!r}: use "r", "w" or "rw"', param="mode")
    if access == os.O_RDONLY and (params.create or params.truncate):
        raise InvalidArgument('create and truncate need mode "w" or "rw"', param="mode")
    return Wanted(access, params.create, params.truncate)


def _one_of(path: str | None, handle: str | None) -> str:
    """Which of the two was given. Raises InvalidArgument for none and for both."""
    if path and handle:
        raise InvalidArgument("give path or handle, not both", param="path")
    if not path and not handle:
        raise InvalidArgument("missing path param", param="path")
    return "path" if path else "handle"


def _size(given: int) -> int:
    if given > reading.MAX_SIZE:
        raise InvalidArgument(f"size exceeds maximum ({reading.MAX_SIZE} bytes)", param="size")
    return given if given > 0 else DEFAULT_SIZE


def _check_offset(offset: int) -> None:
    if not 0 <= offset <= _MOST_OFFSET:
        raise InvalidArgument(f"offset must be between 0 and {_MOST_OFFSET}", param="offset")


def _still_held(room: Room, call: Call, handle: Handle) -> None:
    """What was read is given out only while the handle is still good: revocation takes effect at once."""
    room.trust.check(call.claims)
    room.handles.bound(handle.id, call.claims)


METHODS: tuple[Method, ...] = (
    Method("fs.open", Access.TOKEN, OpenParams, open_file, "A handle on a file below the path prefix."),
    Method("fs.read", Access.TOKEN, ReadParams, read_file, "A piece of an open file."),
    Method("fs.write", Access.TOKEN, WriteParams, write_file, "Write at an offset, by handle or by path."),
    Method("fs.list", Access.TOKEN, ListParams, list_directory, "The names in a directory."),
    Method("fs.stat", Access.TOKEN, StatParams, stat_file, "Kind, size, permissions and time of a file."),
    Method("fs.close", Access.TOKEN, CloseParams, close_handle, "Give a handle back."),
    Method("fs.revoke", Access.OPERATOR, RevokeParams, revoke, "Refuse a capability in this service alone, at once."),
)
