# SPDX-License-Identifier: MIT
"""Structured records for journald over its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

The audit log is the journal: `journalctl STRATA_EVENT=auth.denied`. A record never holds a token, only its cap_id.
"""

from __future__ import annotations

import asyncio
import collections
import functools
import logging
import socket
import struct
from collections.abc import Callable

SOCKET = "/run/systemd/journal/socket"
DELAY = 0.005
"""Seconds between looks at what waits to be written."""

MOST_WAITING = 2_000
"""Records kept for a journald that has no room; beyond, the oldest go to the log."""

LONGEST = 20_000
"""Bytes of a field: two paths, or all req_ids of a record of reads. A datagram must fit into the socket's buffer, or a
caller could keep what he does out of the journal by giving it a long req_id."""

log = logging.getLogger("strata.audit")
_HEAD = "SYSLOG_IDENTIFIER=strata\n"
_outbox: collections.deque[Callable[[], None]] = collections.deque()
_unsent: collections.deque[bytes] = collections.deque()
_looking: asyncio.AbstractEventLoop | None = None


def send(event: str, message: str, priority: int = 6, **fields: object) -> None:
    """Write one record: STRATA_EVENT, MESSAGE and a STRATA_* field for each keyword (`cap_id` → STRATA_CAP_ID).

    Empty fields are left out, and long ones cut off at LONGEST. Never waits: while journald has no room, records wait
    here in their order. Without a journal (run by hand) a record goes to the log instead, never nowhere.
    """
    named = [(_name(name), _cut(str(value))) for name, value in fields.items() if value not in ("", None)]
    record = [("MESSAGE", _cut(message)), ("PRIORITY", str(priority)), ("STRATA_EVENT", event), *named]
    text = "".join([f"{name}={value}\n" for name, value in record])
    if text.count("\n") == len(record):
        datagram = (_HEAD + text).encode("utf-8", "replace")
    else:
        datagram = _HEAD.encode() + b"".join([_field(name, value) for name, value in record])
    if _unsent or not _sent(datagram):
        _hold(datagram)


def later(write: Callable[[], None]) -> None:
    """Have `write`, which sends a record, called within DELAY seconds, together with others.

    Off the path of the answer that it records: to wake journald costs more than most answers do. A daemon that ends in
    good order loses none (`flush`); one that is killed loses those of the last DELAY seconds.
    """
    _outbox.append(write)
    _wake()


def flush(seconds: float = 1.0) -> None:
    """Write what waits, waiting for journald up to `seconds` for each record; for the end of a process."""
    _write_all()
    _journal().settimeout(seconds)
    try:
        while _unsent and _sent(_unsent[0]):
            _unsent.popleft()
    finally:
        _journal().setblocking(False)
    while _unsent:
        _log(_unsent.popleft(), "it has no room")


def _wake() -> None:
    """Look at what waits in a little while, on the loop that runs now; without one, at the next `flush`."""
    global _looking
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    if _looking is not loop:  # none will look, or one of a loop that has ended
        _looking = loop
        loop.call_later(DELAY, _look)


def _look() -> None:
    global _looking
    _looking = None
    _write_all()
    while _unsent and _sent(_unsent[0]):
        _unsent.popleft()
    if _unsent:
        _wake()


def _write_all() -> None:
    for _ in range(len(_outbox)):
        try:
            _outbox.popleft()()
        except Exception:  # one record that cannot be written must not cost the others
            log.exception("cannot write a record")


def _sent(datagram: bytes) -> bool:
    """Whether journald took it, or never will (then the log has it)."""
    try:
        _journal().sendto(datagram, SOCKET)
    except (BlockingIOError, TimeoutError):
        return False
    except OSError as error:
        _log(datagram, error.strerror or str(error))
    return True


def _hold(datagram: bytes) -> None:
    if len(_unsent) >= MOST_WAITING:
        _log(_unsent.popleft(), "it has no room")
    _unsent.append(datagram)
    _wake()


def _log(datagram: bytes, why: str) -> None:
    log.warning("journald: %s: %s", why, datagram.decode("utf-8", "replace").replace("\n", " "))


def _field(name: str, value: str) -> bytes:
    """The length-prefixed form, so that a value with line breaks can never forge a field."""
    raw = value.encode("utf-8", "replace")
    return name.encode() + b"\n" + struct.pack("<Q", len(raw)) + raw + b"\n"


def _cut(text: str) -> str:
    if len(text) <= LONGEST // 4:  # no character takes more than four bytes
        return text
    return text.encode("utf-8", "replace")[:LONGEST].decode("utf-8", "ignore")


@functools.cache
def _name(keyword: str) -> str:
    return f"STRATA_{keyword.upper()}"


@functools.cache
def _journal() -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.setblocking(False)  # a full journal must not stop the service; the record then goes to the log
    return sock
