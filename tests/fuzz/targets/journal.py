# SPDX-License-Identifier: MIT
"""strata/systemd/journal.py: over a real socket, a record has exactly the fields given, whatever is in them."""

from __future__ import annotations

import os
import socket
import struct
import tempfile

from targets.shape import Taken

from strata.systemd import journal

INSTRUMENT = ("strata.systemd.journal",)
SEEDS = (
    b"cap.issued\xffa message\xff/a/path\xff0123456789abcdef\xff",
    b"auth.denied\xffno\nSTRATA_EVENT=cap.issued\xffx\n_UID=0\n\xff\n\xff",
    b"e\xff" + b"m" * 300 + b"\xff\xc3\xa9\xff\x00\xff\x05",
)
DICTIONARY = (
    b"\n",
    b"=",
    b"\nSTRATA_EVENT=x\n",
    b"\nMESSAGE\n\x01\0\0\0\0\0\0\0x\n",
    b"\xff",
    b"\0",
    b"\xe2\x80\xa8",
    b"\r",
)
_LONG = ("x", "é", "\U0001f600", "\n")
_DIRECTORY = tempfile.TemporaryDirectory(prefix="strata-fuzz-journal-")
_journald = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


def setup() -> None:
    """Be journald."""
    journal.SOCKET = os.path.join(_DIRECTORY.name, "socket")
    _journald.bind(journal.SOCKET)
    _journald.setblocking(False)


def teardown() -> None:
    _journald.close()
    journal._journal().close()
    _DIRECTORY.cleanup()


def check(data: bytes) -> None:
    """Event, message, and three fields; a last byte makes one of them very long."""
    taken = Taken(data)
    event, message, resource, req_id, subject = (taken.text() for _ in range(5))
    stretch = taken.byte()
    resource += taken.choice(_LONG) * (stretch * 160)
    journal.send(event, message, resource=resource, req_id=req_id, subject=subject)
    found = _fields(_journald.recv(1 << 20))
    expected = [("SYSLOG_IDENTIFIER", "strata"), ("MESSAGE", message), ("PRIORITY", "6"), ("STRATA_EVENT", event)]
    given = (("STRATA_RESOURCE", resource), ("STRATA_REQ_ID", req_id), ("STRATA_SUBJECT", subject))
    expected += [(name, value) for name, value in given if value]
    assert [name for name, _ in found] == [name for name, _ in expected]
    for (name, arrived), (_, sent) in zip(found, expected, strict=True):
        raw = sent.encode("utf-8", "replace")
        assert arrived == raw or (len(raw) > journal.LONGEST and raw.startswith(arrived)), name
        assert len(arrived) <= max(journal.LONGEST, len(event.encode()))
        arrived.decode()


def _fields(datagram: bytes) -> list[tuple[str, bytes]]:
    """As systemd.io/JOURNAL_NATIVE_PROTOCOL says."""
    found, at = [], 0
    while at < len(datagram):
        end = datagram.index(b"\n", at)
        name, equals, value = datagram[at:end].partition(b"=")
        at = end + 1
        if not equals:
            (size,) = struct.unpack_from("<Q", datagram, at)
            value = datagram[at + 8 : at + 8 + size]
            at += 8 + size + 1
            assert datagram[at - 1 : at] == b"\n"
        found.append((name.decode(), value))
    return found
