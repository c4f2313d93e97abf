# SPDX-License-Identifier: MIT
"""TLS as a client of the door: whom it trusts, and a plain socket for those who read and write at the same time."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading

from strata.errors import InvalidArgument

_PIECE = 65_536


def trusting(ca: str) -> ssl.SSLContext:
    """Checks the door's name and its certificate, which comes from one of the authorities in the file `ca`, or without
    one from those of this machine. Raises InvalidArgument."""
    try:
        made = ssl.create_default_context(cafile=ca or None)
    except OSError as error:  # ssl.SSLError is one
        why = "it holds no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise InvalidArgument(f"cannot use ca={ca!r}: {why}") from error
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    return made


def reason(error: Exception) -> str:
    """Why a connection failed, for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate cannot be trusted: {error.verify_message}; `ca` names a file with another authority"
    if isinstance(error, ssl.SSLError) and error.reason in (
        "WRONG_VERSION_NUMBER",
        "HTTP_REQUEST",
        "RECORD_LAYER_FAILURE",
    ):
        return "it does not speak TLS; try http://"
    return str(error)


def opened(sock: socket.socket) -> socket.socket:
    """The socket itself, or for one with TLS a plain one whose bytes a thread carries to and fro.

    OpenSSL lets nobody read and write one connection at the same time, and what it has decrypted select(2) cannot see.
    """
    if not isinstance(sock, ssl.SSLSocket):
        return sock
    timeout, (ours, theirs) = sock.gettimeout(), socket.socketpair()
    ours.settimeout(timeout)
    sock.setblocking(False)
    threading.Thread(target=_carry, args=(sock, theirs), name="strata-tls", daemon=True).start()
    return ours


def _carry(tls: ssl.SSLSocket, plain: socket.socket) -> None:
    """Until either side hangs up; closes both."""
    with tls, plain, contextlib.suppress(OSError):
        plain.setblocking(False)
        _Carrier(tls, plain).run()


class _Carrier:
    """What was read of one side and waits for the other. Nothing more is read of a side before that has gone."""

    def __init__(self, tls: ssl.SSLSocket, plain: socket.socket) -> None:
        self._tls, self._plain = tls, plain
        self._out, self._in = b"", b""
        self._going = True

    def run(self) -> None:
        """Returns when either side has hung up. Raises OSError."""
        while True:
            while self._move():
                pass
            if not self._going:
                return
            poll = select.poll()
            for sock, waits, reads in ((self._tls, self._out, not self._in), (self._plain, self._in, not self._out)):
                if waits or reads:
                    poll.register(sock, (select.POLLOUT if waits else 0) | (select.POLLIN if reads else 0))
            poll.poll()

    def _move(self) -> bool:
        """Carry what can be carried now; whether there may be more."""
        before = len(self._out), len(self._in)
        if self._going and not self._out:
            self._out = self._read(self._plain)
        if self._out:
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                self._out = self._out[self._tls.send(self._out) :]
        if self._going and not self._in:
            self._in = self._read(self._tls)
        if self._in:
            with contextlib.suppress(BlockingIOError):
                self._in = self._in[self._plain.send(self._in) :]
        return self._going and before != (len(self._out), len(self._in))

    def _read(self, sock: socket.socket) -> bytes:
        try:
            data = sock.recv(_PIECE)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        self._going = bool(data)
        return data
