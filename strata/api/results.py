# SPDX-License-Identifier: MIT
"""What the room answers, for OpenAPI: the door hands results on as they are and reads none of these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta


class Error(msgspec.Struct):
    """What every refusal says."""

    error: Annotated[str, Meta(description="One sentence for a person")]
    code: Annotated[int, Meta(description="1 to 8, as on the sockets")]
    name: Annotated[str, Meta(description="INVALID_ARGUMENT, UNAUTHENTICATED, …")]
    details: Annotated[dict[str, Any], Meta(description="Values for a program")] = {}


class Stats(msgspec.Struct):
    active_sessions: int
    max_sessions: int


class Session(msgspec.Struct):
    """A session. The predecessor's routes name it owner_id and session_id too."""

    owner: str
    session: str
    created_at: Annotated[str, Meta(description="RFC 3339")]
    state: str
    unit: Annotated[str, Meta(description="The systemd scope that holds it")]
    driver: Annotated[str, Meta(description="The overlay driver that is really used")]
    network: str
    limits: dict[str, Any]
    ttl_seconds: float
    expires_at: str | None = None
    created: Annotated[bool, Meta(description="False when it was there before")] = True
    warnings: list[str] = []


class Sessions(msgspec.Struct):
    sessions: list[Session]


class Closed(msgspec.Struct):
    status: Literal["closed"]


class ExecResult(msgspec.Struct):
    """What a command wrote and how it ended."""

    output: Annotated[str, Meta(description="Standard output and error as they came, without trailing whitespace")]
    stdout: str
    stderr: str
    exit_code: int | None
    ended: Literal["exit", "signal", "timeout", "oom", "cancelled"]
    elapsed: Annotated[str, Meta(description="Such as 12ms")]
    elapsed_ms: float
    truncated: bool = False
    cpu_ms: float | None = None
    memory_peak: int | None = None
    cwd: str | None = None
    signal: Annotated[str | None, Meta(description="Which one ended it")] = None
    error: Annotated[str | None, Meta(description="`command timeout`")] = None
    output_b64: Annotated[str | None, Meta(description="The bytes, where they are not UTF-8")] = None
    stdout_b64: str | None = None
    stderr_b64: str | None = None
    shell: Annotated[str | None, Meta(description="`restarted` when its shell had to be")] = None


class RunResult(ExecResult):
    """The same of a program; one in the background has an id and a state only."""

    id: str = ""
    state: str | None = None


class Runs(msgspec.Struct):
    runs: list[dict[str, Any]]


class Event(msgspec.Struct):
    """One event of a run's output: a piece of it, or how it ended."""

    stream: Literal["stdout", "stderr"] | None = None
    offset: int | None = None
    data: str | None = None
    data_b64: str | None = None
    ended: str | None = None


class Written(msgspec.Struct):
    path: str
    size: int
    sha256: str


class Entries(msgspec.Struct):
    path: str
    entries: list[dict[str, Any]]
    next: str | None = None
