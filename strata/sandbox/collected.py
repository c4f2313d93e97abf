# SPDX-License-Identifier: MIT
"""Output that is collected for an answer, and the answer: what a command wrote, how it ended, and what it cost."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from strata.sandbox.cgroup import Group, Usage
from strata.sandbox.children import Ended
from strata.sandbox.paced import PacedReader
from strata.sandbox.signalling import name
from strata.sockets import frame

_READ_BYTES = 262_144
_ENVELOPE = 4096  # of a frame, for all that is not output
_WORST = 6  # bytes that one byte can take in JSON: \u00XX


class Collector:
    """The first `most` bytes of what comes through a pipe; the rest is read and forgotten. Owns the read end."""

    def __init__(self, fd: int, most: int, heard: Callable[[bytes], None]) -> None:
        """`heard` gets every piece as it comes, for a stream that is put together from several."""
        self.data = bytearray()
        self.truncated = False
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._fd, self._most, self._heard = fd, most, heard
        self._reader = PacedReader(fd, self._read)
        os.set_blocking(fd, False)
        self._reader.listen(True)

    def close(self) -> None:
        """What has not come by now does not count."""
        if self._fd >= 0:
            self._reader.listen(False)
            os.close(self._fd)
            self._fd = -1
        if not self.over.done():
            self.over.set_result(None)

    def _read(self) -> int:
        try:
            piece = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return 0
        if not piece:
            self.close()
        kept = piece[: self._most - len(self.data)]
        self.truncated |= len(kept) < len(piece)
        self.data += kept
        self._heard(piece)
        return len(piece) - len(kept)  # what is kept is little


def killed_for_memory(ended: Ended, usage: Usage, group: Group) -> int:
    """Processes of the command in `group` that the kernel ended because the session's memory was used up; or, where its
    keeper says nothing, keepers: they are of that memory, too (launcher/spawn.py)."""
    lost = ended.message and not ended.stage
    return usage.oom_kills or (group.beside("keepers").usage().oom_kills if lost else 0)


def ending(ended: Ended, why: str, oom_kills: int) -> dict[str, Any]:
    """`why` it was ended from outside (timeout, cancelled), or how it ended by itself. A command that could not be
    executed ended as a shell says it: 127 when there is none of that name, else 126."""
    said: dict[str, Any] = {"exit_code": ended.exit_code, "ended": why or "exit"}
    if ended.stage:
        return {"exit_code": 127 if ended.errno == 2 else 126, "ended": "exit", "error": ended.message}  # ENOENT
    if ended.message and not oom_kills:
        return {"exit_code": None, "ended": why or "cancelled", "error": ended.message}
    if ended.signal is not None or ended.message:
        said["signal"] = name(ended.signal or signal.SIGKILL)
        said["ended"] = why or ("oom" if oom_kills else "signal")
    return said


def cost(ended: Ended, usage: Usage) -> dict[str, Any]:
    """Of all processes of the command: milliseconds and bytes."""
    cpu = usage.cpu_usec / 1000 or ended.cpu_ms
    return {"cpu_ms": round(cpu, 3), "memory_peak": usage.memory_peak or ended.max_rss}


def elapsed(seconds: float) -> dict[str, Any]:
    """As a number, and as Go writes a duration: 12ms, 1.204s, 2m3.5s (spec 2.5)."""
    milliseconds = round(seconds * 1000)
    return {"elapsed": duration(milliseconds), "elapsed_ms": milliseconds}


def duration(milliseconds: int) -> str:
    """Go's time.Duration.String() of whole milliseconds."""
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest // 1000}.{rest % 1000:03}".rstrip("0").rstrip(".") + "s"
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + seconds


def text(field: str, data: bytes) -> dict[str, str]:
    """As a string; also as base64 when it is not UTF-8, for then the string has U+FFFD in it."""
    try:
        return {field: data.decode()}
    except UnicodeDecodeError:
        return {field: data.decode("utf-8", "replace"), f"{field}_b64": base64.b64encode(data).decode()}


def fitted(answer: dict[str, Any], streams: Mapping[str, bytes], req_id: str) -> dict[str, Any]:
    """The answer with the streams in it, the first as a shell's `$(…)` has it, without the line ends at its end; all
    cut, and said to be `truncated`, where a frame cannot carry them."""
    budget = frame.MAX_PAYLOAD - _ENVELOPE - len(msgspec.json.encode([answer, req_id]))
    while True:
        said = {key: value for field, data in streams.items() for key, value in text(field, data).items()}
        size = sum(map(len, streams.values())) * _WORST
        if size > budget:
            size = len(msgspec.json.encode(said))
        if size <= budget:
            break
        streams = {field: data[: len(data) * budget // size] for field, data in streams.items()}
        answer = answer | {"truncated": True}
    if "output" in said:
        said["output"] = said["output"].rstrip("\n")
    return answer | said
