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
MOST_WAITING = 256
log = logging.getLogger("strata.audit")
_outbox: collections.deque[Callable[[], None]] = collections.deque()


def send(event: str, message: str, priority: int = 6, **fields: object) -> None:
    """Write one record: STRATA_EVENT, MESSAGE and a STRATA_* field for each keyword (`cap_id` → STRATA_CAP_ID).

    Empty fields are left out. Without a journal (run by hand) the record goes to the log instead, never nowhere.
    """
    record = {"MESSAGE": message, "PRIORITY": priority, "SYSLOG_IDENTIFIER": "strata", "STRATA_EVENT": event}
    record |= {f"STRATA_{name.upper()}": value for name, value in fields.items() if value not in ("", None)}
    datagram = b"".join(_field(name, str(value)) for name, value in record.items())
    try:
        _journal().sendto(datagram, SOCKET)
    except OSError as error:
        log.warning("%s %s %s (journald: %s)", event, message, fields, error.strerror)


def later(write: Callable[[], None]) -> None:
    """Have `write`, which sends a record, called within DELAY seconds, together with others.

    Off the path of the answer that it records: to wake journald costs more than most answers do. A daemon that ends in
    good order loses none (`flush`); one that is killed loses those of the last DELAY seconds.
    """
    _outbox.append(write)
    if len(_outbox) >= MOST_WAITING:
        flush()
    elif len(_outbox) == 1:
        asyncio.get_running_loop().call_later(DELAY, flush)


def flush() -> None:
    """Write what waits."""
    while _outbox:
        _outbox.popleft()()


def _field(name: str, value: str) -> bytes:
    raw = value.encode("utf-8", "replace")
    if b"\n" in raw:  # the length-prefixed form, so that a value can never forge a field
        return name.encode() + b"\n" + struct.pack("<Q", len(raw)) + raw + b"\n"
    return name.encode() + b"=" + raw + b"\n"


@functools.cache
def _journal() -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.setblocking(False)  # a full journal must not stop the service; the record then goes to the log
    return sock
