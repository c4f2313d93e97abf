# SPDX-License-Identifier: MIT
"""What the sandbox room answers, typed. Fields that a newer room adds are left out; one that is missing is an error."""

# No `from __future__ import annotations`: NamedTuple and TypedDict compile annotations that are text, one by one.

import binascii
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from strata.errors import Internal

N = TypeVar("N", bound=tuple[Any, ...])


class Usage(NamedTuple):
    """What a session uses. Sizes in bytes, pressure in percent; what the kernel here does not tell is None."""

    cpu_ms: float | None = None
    memory: int | None = None
    memory_peak: int | None = None
    oom_kills: int = 0
    tasks: int | None = None
    io: Mapping[str, int] | None = None
    pressure: Mapping[str, float] | None = None
    disk: int | None = None
    disk_max: int | None = None
    inodes: int | None = None


class Description(NamedTuple):
    """A session. Times as in RFC 3339; durations in seconds. What it is doing is not told by `create`."""

    owner: str
    session: str
    created_at: str
    state: str
    created: bool = False  # create: whether it was not there before
    unit: str = ""
    driver: str = ""
    network: str = ""
    base: str = ""
    template: str = ""
    labels: Mapping[str, str] = {}
    limits: Mapping[str, Any] = {}
    ttl_seconds: float | None = None
    lifetime_seconds: float | None = None
    expires_at: str = ""
    warnings: tuple[str, ...] = ()
    idle_seconds: float = 0.0
    age_seconds: float = 0.0
    activity: tuple[str, ...] = ()
    pid: int = 0
    cgroup: str = ""
    usage: Usage | None = None
    runs: Any = None
    terminals: Any = None
    shell: Any = None


class Result(NamedTuple):
    """How a command ended and what it said. Text that is no UTF-8 has U+FFFD in it; the `*_bytes` are as they came."""

    ended: str  # exit, signal, timeout, oom or cancelled
    exit_code: int | None = None
    signal: str | int | None = None
    output: str = ""  # both, in the order they were written
    stdout: str = ""
    stderr: str = ""
    truncated: bool = False
    elapsed: str = ""
    elapsed_ms: float = 0.0
    cpu_ms: float | None = None
    memory_peak: int | None = None  # bytes
    cwd: str = ""
    error: str = ""
    shell: str = ""  # restarted, when the session's shell had to be
    id: str = ""
    output_b64: str = ""
    stdout_b64: str = ""
    stderr_b64: str = ""

    @property
    def ok(self) -> bool:
        """Whether it exited with 0."""
        return self.ended == "exit" and self.exit_code == 0

    @property
    def output_bytes(self) -> bytes:
        return as_bytes(self.output, self.output_b64)

    @property
    def stdout_bytes(self) -> bytes:
        return as_bytes(self.stdout, self.stdout_b64)

    @property
    def stderr_bytes(self) -> bytes:
        return as_bytes(self.stderr, self.stderr_b64)


class RunInfo(NamedTuple):
    """A run in the background. `ended` is empty while it runs; then it is as in Result."""

    id: str
    state: str  # running or ended
    argv: tuple[str, ...] = ()
    cwd: str = ""
    started_at: str = ""
    ended: str = ""
    exit_code: int | None = None
    signal: str | int | None = None
    elapsed_ms: float = 0.0
    cpu_ms: float | None = None
    memory_peak: int | None = None
    error: str = ""
    left: int = 0  # processes of it that outlived the program
    stdout: Mapping[str, int] = {}  # start and end of what is kept of it, in bytes
    stderr: Mapping[str, int] = {}


class Chunk(NamedTuple):
    """Output of a run: `data` begins at byte `offset` of its `stream`, stdout or stderr. `lost` bytes before it are
    not kept any more."""

    stream: str
    offset: int
    data: bytes
    lost: int = 0


class Stats(NamedTuple):
    """Sessions that are open, and how many there may be."""

    active_sessions: int
    max_sessions: int = 0


class Template(NamedTuple):
    """A named way to open sessions."""

    name: str
    description: str = ""
    base: str = ""
    base_rootfs: str | None = None
    network: str = ""
    ttl: str = ""
    env: Mapping[str, str] = {}
    limits: Mapping[str, Any] = {}


class Snapshot(NamedTuple):
    """The files of a session as they were."""

    name: str
    size: int | None = None
    created_at: str | float = ""


class TerminalInfo(NamedTuple):
    """A terminal; `offset` is how many bytes it has written so far."""

    terminal: str
    rows: int = 0
    cols: int = 0
    viewers: int = 0
    offset: int = 0
    command: str | None = None
    started_at: str | float = ""


class TerminalEnd(NamedTuple):
    """Why a terminal is no longer looked at: exit, signal, hangup, closed, slow, restart."""

    ended: str
    exit_code: int | None = None
    signal: str | int | None = None
    offset: int | None = None
    error: str = ""


def fill(kind: type[N], found: Any) -> N:
    """A `kind` from the JSON object of an answer. Raises Internal when it is none."""
    fields: tuple[str, ...] = kind._fields  # type: ignore[attr-defined]
    defaults: dict[str, Any] = kind._field_defaults  # type: ignore[attr-defined]
    if not isinstance(found, dict):
        raise Internal(f"cannot read the answer: it is no {kind.__name__}")
    if missing := [name for name in fields if name not in found and name not in defaults]:
        raise Internal(f"cannot read the answer: it tells no {missing[0]}")
    # None means that it is not told, so the default stands
    told = {name: _frozen(found[name]) for name in fields if found.get(name) is not None or name not in defaults}
    return kind(**told)


def describe(found: Any) -> Description:
    """A session, its usage within. Raises Internal."""
    told = fill(Description, found)
    return told._replace(usage=fill(Usage, told.usage)) if isinstance(told.usage, dict) else told


def rows(kind: type[N], found: Any, under: str) -> tuple[N, ...]:
    """The list that an answer has `under` this name. Raises Internal."""
    return tuple(fill(kind, item) for item in listed(found, under))


def listed(found: Any, under: str) -> list[Any]:
    """The items of a list, as they are. Raises Internal."""
    items = found.get(under) if isinstance(found, dict) else None
    if not isinstance(items, list):
        raise Internal(f"cannot read the answer: it has no list {under}")
    return items


def whole(found: Any) -> int:
    """A whole number of an answer. Raises Internal."""
    if not isinstance(found, int) or isinstance(found, bool):
        raise Internal("cannot read the answer: something in it should be a whole number")
    return found


def as_bytes(text: str, b64: str) -> bytes:
    """Bytes that an answer tells as text or, where they are no UTF-8, in base64."""
    try:
        return binascii.a2b_base64(b64) if b64 else text.encode()
    except ValueError as error:
        raise Internal(f"cannot read the answer: {error}") from error


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
