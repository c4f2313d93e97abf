# SPDX-License-Identifier: MIT
"""One session, by its owner and name. Nothing is asked of the service before a method is called."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, Unpack

from strata.client import descriptors, local, output, verbs
from strata.client.options import (
    LONGEST_WAIT,
    CreateOptions,
    Descriptor,
    ForkOptions,
    Input,
    LocalPath,
    RunOptions,
    given,
    milliseconds,
    run_params,
)
from strata.client.output import Stream
from strata.client.results import Chunk, Description, Result, RunInfo, Snapshot, TerminalInfo, Usage
from strata.client.results_files import Archive, Change, Entry, Event, FileInfo, Transfer
from strata.client.terminal import Terminal
from strata.client.transport import Transport
from strata.client.verbs import Page, Verb

R = TypeVar("R")


class Session:
    """A sandbox. Made by `Client.session`; `exec`, `run`, `start` and `shell` open it where it is not there.

    Every method raises the StrataError that the service answers. Paths inside begin at /root unless absolute.
    """

    def __init__(self, transport: Transport, owner: str, name: str) -> None:
        self._transport, self.owner, self.name = transport, owner, name

    def __repr__(self) -> str:
        return f"Session({self.owner!r}, {self.name!r})"

    # --- the whole session

    def create(self, **options: Unpack[CreateOptions]) -> Description:
        """Open it; one that is open is left as it is (`created` tells)."""
        return self._ask(verbs.CREATE, **options)

    def describe(self) -> Description:
        """What it is and what it is doing."""
        return self._ask(verbs.DESCRIBE)

    def usage(self) -> Usage:
        """What it uses."""
        return self._ask(verbs.USAGE)

    def extend(self, ttl: str | None = None, lifetime: str | None = None) -> Description:
        """Begin its idle time anew; with another length if `ttl` says so."""
        return self._ask(verbs.EXTEND, ttl=ttl, lifetime=lifetime)

    def freeze(self) -> Description:
        """Stop everything in it where it is."""
        return self._ask(verbs.FREEZE)

    def thaw(self) -> Description:
        """Let it go on."""
        return self._ask(verbs.THAW)

    def close(self) -> None:
        """End it; returns when no process and no file of it is left."""
        self._ask(verbs.CLOSE)

    def snapshot(self, name: str) -> Snapshot:
        """Keep its files as they are now, under a name of the owner's."""
        return self._ask(verbs.SNAPSHOT, name=name)

    def snapshots(self) -> tuple[Snapshot, ...]:
        """The snapshots of the session's owner."""
        return self._ask(verbs.SNAPSHOTS)

    def remove_snapshot(self, name: str) -> None:
        """Remove a snapshot. Raises Conflict while a session or another snapshot stands on it."""
        self._ask(verbs.REMOVE_SNAPSHOT, name=name)

    def fork(self, name: str, snapshot: str | None = None, **options: Unpack[ForkOptions]) -> Session:
        """Another session of the same owner that begins with the files of this one, or of a snapshot."""
        self._ask(verbs.FORK, to_session=name, snapshot=snapshot, **options)
        return Session(self._transport, self.owner, name)

    # --- commands

    def exec(self, command: str, *, timeout: float | None = None, stdin: str | None = None) -> Result:
        """Text for the session's shell, which keeps directory, variables and functions from one to the next.

        `timeout` in seconds; without one, the service's default (30). A command that fails or runs out of time is a
        Result like any other.
        """
        return self._ask(verbs.EXEC, command=command, timeout_ms=milliseconds(timeout), stdin=stdin)

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: Input = None,
        stdout: Descriptor | None = None,
        stderr: Descriptor | None = None,
        **options: Unpack[RunOptions],
    ) -> Result:
        """A program of its own, to its end. Streams that are descriptors or open files are handed over as they are;
        input may be text or bytes; output that is handed nowhere comes with the Result."""
        params = self._named(run_params(argv, options))
        with descriptors.stdio(stdin, stdout, stderr) as stdio:
            return verbs.RUN.read(self._transport.run(params, stdio))

    def start(self, argv: Sequence[str], *, stdin: str | bytes = b"", **options: Unpack[RunOptions]) -> RunInfo:
        """The same in the background; read `output(id)`, ask `wait(id)`."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        params = run_params(argv, options) | ({"stdin_b64": descriptors.b64(data)} if data else {})
        return self._ask(verbs.START, background=True, **params)

    def runs(self) -> tuple[RunInfo, ...]:
        """All that were started and are not forgotten yet."""
        return self._ask(verbs.RUNS)

    def output(self, run: str, *, stdout: int = 0, stderr: int = 0, follow: bool = False) -> Stream[Chunk | RunInfo]:
        """What a run wrote, from these bytes on; with `follow`, until it has ended. How it stands comes
        last."""
        params = {"id": run, "offset": {"stdout": stdout, "stderr": stderr}, "follow": follow}
        return Stream(self._transport.stream("sandbox.output", self._named(params)), output.chunk)

    def wait(self, run: str, timeout: float | None = None) -> RunInfo:
        """How a run stands when it has ended, or after `timeout` seconds."""
        while True:
            found = self._ask(verbs.WAIT, id=run, wait_ms=milliseconds(LONGEST_WAIT if timeout is None else timeout))
            if found.ended or timeout is not None:
                return found

    def signal(self, run: str, signal: str = "TERM", *, group: bool = False) -> None:
        """Send a signal to a run's program, or to its whole process group."""
        self._ask(verbs.SIGNAL, id=run, signal=signal, group=group or None)

    def kill(self, run: str) -> RunInfo:
        """End a run and all its children."""
        return self._ask(verbs.KILL, id=run)

    # --- terminals

    def shell(
        self,
        terminal: str = "main",
        *,
        rows: int | None = None,
        cols: int | None = None,
        offset: int | None = None,
        command: str | None = None,
    ) -> Terminal:
        """Look at a terminal and type into it; opened where it is not there. Begins with all that is kept, or with
        the byte `offset`."""
        params = {"terminal": terminal, "rows": rows, "cols": cols, "offset": offset, "command": command}
        return Terminal(self._transport.attach(self._named(params)), self.resize)

    def terminals(self) -> tuple[TerminalInfo, ...]:
        """All that are open."""
        return self._ask(verbs.TERMINALS)

    def resize(self, terminal: str, rows: int, cols: int, viewer: int | None = None) -> None:
        """Tell the size of one viewer's window, or of all."""
        self._ask(verbs.RESIZE, terminal=terminal, rows=rows, cols=cols, viewer=viewer)

    def hangup(self, terminal: str = "main") -> None:
        """End a terminal and what runs in it."""
        self._ask(verbs.HANGUP, terminal=terminal)

    # --- files

    def put(self, path: LocalPath, remote: str, *, mode: str | None = None) -> Transfer:
        """Copy a local file in: whole or not at all, and what arrives is what was read."""
        with local.source(path) as fd:
            params = self._named({"path": remote, "mode": mode, **local.expectations(fd)})
            return verbs.PUT.read(self._transport.put(params, fd))

    def get(self, remote: str, path: LocalPath) -> Transfer:
        """Copy a file out; it takes its place when it has arrived whole."""
        with local.sink(path, os.path.basename(remote)) as fd:
            found = self._fetch(verbs.GET, fd, {"path": remote})
            local.take_mode(fd, found.mode)
            return found

    def export(self, path: LocalPath, remote: str | None = None) -> Archive:
        """Write a tar of the session's root, or of one path of it, to a local file."""
        with local.sink(path, f"{self.owner}-{self.name}.tar") as fd:
            return self._fetch(verbs.EXPORT, fd, {"path": remote})

    def write(self, remote: str, data: str | bytes, *, mode: str | None = None) -> Transfer:
        """Make a file of this content."""
        raw = data.encode() if isinstance(data, str) else data
        with descriptors.in_memory(raw) as fd:
            params = self._named({"path": remote, "mode": mode, **local.expectations(fd)})
            return verbs.PUT.read(self._transport.put(params, fd))

    def read(self, remote: str, *, offset: int | None = None, size: int | None = None) -> bytes:
        """A file's content, or part of it."""
        with descriptors.in_memory() as fd:
            self._fetch(verbs.GET, fd, {"path": remote, "offset": offset, "size": size})
            return descriptors.content(fd)

    def files(self, remote: str = "/root") -> Iterator[Entry]:
        """What is in a directory."""
        return self._pages(verbs.FILES, path=remote)

    def stat(self, remote: str) -> FileInfo:
        """One file, directory or link itself."""
        return self._ask(verbs.STAT, path=remote)

    def mkdir(self, remote: str, *, parents: bool = False) -> None:
        """Make a directory."""
        self._ask(verbs.MKDIR, path=remote, parents=parents)

    def move(self, remote: str, to: str) -> None:
        """Give a file another name."""
        self._ask(verbs.MOVE, **{"from": remote, "to": to})

    def remove(self, remote: str, *, recursive: bool = False) -> None:
        """Remove a file; `recursive`, a directory with all that is in it."""
        self._ask(verbs.REMOVE, path=remote, recursive=recursive)

    def watch(self, remote: str = "/root", *, recursive: bool = False) -> Stream[Event]:
        """What happens to a file or in a directory; `watching` comes first."""
        params = self._named({"path": remote, "recursive": recursive})
        return Stream(self._transport.stream("sandbox.watch", params), output.event)

    def diff(self) -> Iterator[Change]:
        """What is different from what it began with."""
        return self._pages(verbs.DIFF)

    # ---

    def _named(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"owner": self.owner, "session": self.name, **given(params)}

    def _ask(self, verb: Verb[R], **params: Any) -> R:
        return verb.read(self._transport.call(verb.method, self._named(params), verb.patient))

    def _pages(self, verb: Verb[Page[R]], **params: Any) -> Iterator[R]:
        cursor = None
        while cursor != "":
            page = self._ask(verb, **params, after=cursor)
            yield from page.items
            cursor = page.next

    def _fetch(self, verb: Verb[R], fd: int, params: Mapping[str, Any]) -> R:
        answer = self._transport.get(verb.method, self._named(params), fd)
        local.check_arrived(fd, answer, params["path"] or self.name)
        return verb.read(answer)
