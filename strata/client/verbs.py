# SPDX-License-Identifier: MIT
"""The methods that answer once: name, how the answer is read, and whether it may take long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from strata.client.results import (
    Description,
    Result,
    RunInfo,
    Snapshot,
    Stats,
    Template,
    TerminalInfo,
    Usage,
    describe,
    fill,
    listed,
    rows,
)
from strata.client.results_files import Archive, Change, Entry, FileInfo, Transfer

R = TypeVar("R")
N = TypeVar("N", bound=tuple[Any, ...])


class Verb(NamedTuple, Generic[R]):
    """`patient`: the answer comes when the work is done, however long that takes."""

    method: str
    read: Callable[[Any], R]
    patient: bool = False


class Page(NamedTuple, Generic[R]):
    """Part of a list; `next`, where it is not empty, asks for the rest."""

    items: tuple[R, ...]
    next: str = ""


def _one(method: str, kind: type[N], patient: bool = False) -> Verb[N]:
    return Verb(f"sandbox.{method}", lambda found: fill(kind, found), patient)


def _all(method: str, kind: type[N], under: str) -> Verb[tuple[N, ...]]:
    return Verb(f"sandbox.{method}", lambda found: rows(kind, found, under))


def _page(method: str, kind: type[N], under: str) -> Verb[Page[N]]:
    return Verb(f"sandbox.{method}", lambda found: Page(rows(kind, found, under), found.get("next") or ""), True)


def _sessions(found: Any) -> tuple[Description, ...]:
    return tuple(describe(one) for one in listed(found, "sessions"))


def _nothing(method: str) -> Verb[None]:
    return Verb(f"sandbox.{method}", lambda found: None)


CREATE = Verb("sandbox.create", describe, patient=True)
DESCRIBE = Verb("sandbox.describe", describe)
LIST = Verb("sandbox.list", _sessions)
CLOSE = Verb[None]("sandbox.close", lambda found: None, patient=True)
EXTEND = Verb("sandbox.extend", describe)
FREEZE = Verb("sandbox.freeze", describe)
THAW = Verb("sandbox.thaw", describe)
STATS = _one("stats", Stats)
USAGE = _one("usage", Usage)
TEMPLATES = _all("templates", Template, "templates")

EXEC = _one("exec", Result, patient=True)
RUN = _one("run", Result, patient=True)
START = _one("run", RunInfo)
RUNS = _all("runs", RunInfo, "runs")
WAIT = _one("wait", RunInfo, patient=True)
SIGNAL = _nothing("signal")
KILL = _one("kill", RunInfo, patient=True)

TERMINALS = _all("terminals", TerminalInfo, "terminals")
RESIZE = _nothing("resize")
HANGUP = Verb[None]("sandbox.hangup", lambda found: None, patient=True)

PUT = _one("put", Transfer, patient=True)
GET = _one("get", Transfer, patient=True)
EXPORT = _one("export", Archive, patient=True)
FILES = _page("files", Entry, "entries")
STAT = _one("stat", FileInfo)
MKDIR = _nothing("mkdir")
MOVE = _nothing("move")
REMOVE = Verb[None]("sandbox.remove", lambda found: None, patient=True)
DIFF = _page("diff", Change, "changes")

SNAPSHOT = _one("snapshot", Snapshot, patient=True)
SNAPSHOTS = _all("snapshots", Snapshot, "snapshots")
REMOVE_SNAPSHOT = Verb[None]("sandbox.remove_snapshot", lambda found: None, patient=True)
FORK = Verb("sandbox.fork", describe, patient=True)
