# SPDX-License-Identifier: MIT
"""strata.client against a hostile service: over a unix socket (frames, descriptors), over HTTP, over a WebSocket.

Whatever is answered: a value, or one of the eight errors; never another exception, a wait without end, memory as long
as a length says, a descriptor left, or a file that was not asked for.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile.script import Script

from strata.client.place import Place
from strata.client.session import Session
from strata.client.transport import Transport
from strata.client.websocket import Decoder
from strata.errors import StrataError
from strata.sockets import frame

INSTRUMENT = ("strata.client", "strata.sockets.client")
MAX_LEN = 1024
DICTIONARY = (
    b'{"ok":true,"result":{', b'"more":true', b'"ok":false,"error":{"code":', b'"message":"', b'"details":{', b"null",
    b"1e999", b'"stdout_b64":"', b'"ended":"exit"', b'"attached":{"terminal":"main"', b'"sha256":"', b'"mode":"4777"',
    b'"next":"', b"HTTP/1.1 200 OK\r\n", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"\r\n\r\n",
    b"ffffffffffff\r\n",
    b"\x01\0\0\0\0\0\0\x04", b"\x03\0\0\0\xff\xff\xff\xff", b'"code":[]', b"[" * 40, b"HTTP/1.1 416 \r\n", b"\\ud800",
)  # fmt: skip
_WITHIN = 0.5
_RESULT = b'{"ended":"exit","exit_code":0,"output":"x","stdout":"x","stderr":"","stdout_b64":"eA=="}'
_SESSION = b'{"owner":"a","session":"b","created_at":"2026-11-22T03:11:00Z","state":"open","labels":{"a":"b"}}'


def _framed(*answers: bytes) -> bytes:
    return b"".join(map(frame.encode, answers))


def _http(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 " + status + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def _stream(*frames: tuple[int, bytes]) -> bytes:
    return b"".join(struct.pack(">B3xI", kind, len(data)) + data for kind, data in frames)


def _read_all(session: Session, _: Path) -> None:
    with session.output("r1", follow=True) as output:
        for _found in zip(range(50), output, strict=False):
            pass


def _look(session: Session, _: Path) -> None:
    with session.shell() as terminal:
        terminal.socket.settimeout(_WITHIN)
        with contextlib.suppress(OSError):
            while terminal.receive():
                pass
        terminal.end()


def _listed(session: Session, _: Path) -> None:
    for _found in zip(range(50), session.files(), strict=False):
        pass


def _outputs(result: Any) -> None:
    for name in ("output_bytes", "stdout_bytes", "stderr_bytes"):
        getattr(result, name)


CALLS: tuple[Callable[[Session, Path], object], ...] = (
    lambda session, where: _outputs(session.exec("ls")),
    lambda session, where: _outputs(session.run(["ls"])),
    lambda session, where: session.describe(),
    lambda session, where: session.runs(),
    lambda session, where: session.get("f", where / "got"),
    lambda session, where: session.read("f", offset=1, size=3),
    lambda session, where: session.write("f", b"x" * 100),
    lambda session, where: session.snapshots(),
    lambda session, where: session.export(where / "got.tar"),
    lambda session, where: session.stat("f"),
    _read_all,
    _look,
    _listed,
    lambda session, where: _written(session, where),
)
_ASKED = {"got", "got.tar", "out"}
_TALKS = ("unix", "http")

SEEDS = (
    *(bytes([0, call]) + _framed(b'{"ok":true,"result":' + _RESULT + b"}") for call in range(len(CALLS))),
    *(bytes([1, call]) + _http(_SESSION) for call in range(len(CALLS))),
    *(bytes([1, call]) + _http(_stream((1, b"out"), (2, b"err"), (3, _RESULT))) for call in (1, 4, 5, 8, 13)),
    b"\x00\x0a" + _framed(b'{"ok":true,"more":true,"result":{"stream":"stdout","data":"x"}}', b'{"ok":true}'),
    b"\x00\x0b" + _framed(b'{"ok":true,"more":true,"result":{"attached":{"terminal":"main","offset":3}}}',
                          b'{"ok":true,"more":true,"result":{"ended":"exit","exit_code":0}}', b'{"ok":true}'),
    b"\x00\x02" + _framed(b'{"ok":false,"error":{"code":4,"message":"no","details":{}}}'),
    b"\x01\x02" + _http(b'{"error":"no","code":4,"name":"NOT_FOUND","details":{}}', b"404 Not Found"),
    b"\x01\x0a" + _http(b'{"stream":"stdout","offset":0,"data":"x"}\n{"ended":"exit","id":"r1","state":"ended"}\n'),
    b"\x01\x05HTTP/1.1 206 Partial\r\nContent-Length: 3\r\n\r\nabc",
    b"\x01\x0bHTTP/1.1 400 Bad\r\nContent-Length: 4\r\n\r\nnull",
    b"\x01\x02HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"\x02\x00" + bytes([0x82, 5]) + b"hello" + bytes([0x81, 2]) + b"{}" + bytes([0x88, 0]),
)  # fmt: skip


class _Hostile:
    """A service that reads what it is asked, and answers with the input."""

    def __init__(self) -> None:
        self.where = Path(tempfile.mkdtemp(prefix="strata-client-"))
        self.files = self.where / "files"
        self.answer = b""
        self.unix, self.http = socket.socket(socket.AF_UNIX), socket.create_server(("127.0.0.1", 0))
        self.unix.bind(str(self.where / "sock"))
        self.unix.listen(16)
        for listener in (self.unix, self.http):
            threading.Thread(target=self._serve, args=(listener,), daemon=True).start()

    def transport(self, talk: str) -> Transport:
        """To it."""
        from strata.client.http import HttpTransport
        from strata.client.unix import UnixTransport

        if talk == "unix":
            return UnixTransport(Place(self.where / "sock", "", "good", _WITHIN))
        return HttpTransport(Place(Path(), f"http://127.0.0.1:{self.http.getsockname()[1]}", "good", _WITHIN))

    def _serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                with sock, contextlib.suppress(OSError):
                    sock.settimeout(_WITHIN)
                    _, fds, _, _ = socket.recv_fds(sock, 65_536, 8)
                    for fd in fds:
                        with contextlib.suppress(OSError):
                            os.set_blocking(fd, False)
                            os.write(fd, self.answer[-64:])
                        os.close(fd)
                    sock.sendall(self.answer)
                    if listener is self.http:  # no TIME_WAIT is left of us
                        sock.shutdown(socket.SHUT_WR)
                        sock.recv(65_536)
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


_state: list[_Hostile] = []


def setup() -> None:
    _state.append(_Hostile())


def teardown() -> None:
    it = _state.pop()
    for listener in (it.unix, it.http):
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # who waits in accept(2) is woken
        listener.close()
    shutil.rmtree(it.where)


def check(data: bytes) -> None:
    """The first byte chooses the way, the second the call; the rest is what is answered."""
    script = Script(data)
    way, call = script.byte() % 3, script.one(CALLS)
    if way == 2:
        _decoded(script.rest())
        return
    it = _state[0]
    shutil.rmtree(it.files, ignore_errors=True)
    it.files.mkdir()
    it.answer = script.rest()
    transport, before = it.transport(_TALKS[way]), _descriptors()
    try:
        call(Session(transport, "a", "b"), it.files)
    except StrataError:
        assert not {path.name for path in it.files.iterdir()} - {"out"}, "half a file was left"
    finally:
        transport.close()
    _judge(it.files)
    _nothing_left(before)


def _written(session: Session, where: Path) -> None:
    with (where / "out").open("wb") as file:
        session.run(["ls"], stdout=file)


def _judge(files: Path) -> None:
    for path in files.iterdir():
        assert path.name in _ASKED, path
        assert not path.lstat().st_mode & 0o7000, oct(path.lstat().st_mode)
        assert path.lstat().st_size < 1 << 20, path


def _decoded(data: bytes) -> None:
    """Of a WebSocket: however it is cut, the same messages, or the same refusal."""
    results = []
    for step in (1, 7, len(data) or 1):
        decoder, found = Decoder(), []
        try:
            for at in range(0, len(data), step):
                found += decoder.feed(data[at : at + step])
        except StrataError:
            found.append("refused")  # type: ignore[arg-type]
        results.append(found)
    assert results[0][:-1] == results[1][: len(results[0]) - 1], results
    assert results[0] == results[2] or "refused" in results[2], results


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _nothing_left(before: int) -> None:
    for _ in range(2000):
        if _descriptors() <= before + 2:  # of the service's thread, which may be about to close one
            return
        threading.Event().wait(0.001)
    raise AssertionError(f"{_descriptors() - before} descriptors are left")
