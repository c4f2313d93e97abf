# SPDX-License-Identifier: MIT
"""One session, by its owner and name, for asyncio. The twin of session.py: what it says there holds here."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, TypeVar, Unpack

from strata.client import descriptors, local, output, verbs
from strata.client.async_output import AsyncStream
from strata.client.async_terminal import AsyncTerminal
from strata.client.async_unix import AsyncTransport
from strata.client.filling import Filling
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
from strata.client.results import Chunk, Description, Result, RunInfo, Snapshot, TerminalInfo, Usage
from strata.client.results_files import Archive, Change, Entry, Event, FileInfo, Transfer
from strata.client.verbs import Page, Verb

R = TypeVar("R")


class AsyncSession:
    """A sandbox. Made by `AsyncClient.session`; `exec`, `run`, `start` and `shell` open it where it is not there.

    Every method raises the StrataError that the service answers. Paths inside begin at /root unless absolute.
    """

    def __init__(self, transport: AsyncTransport, owner: str, name: str) -> None:
        self._transport, self.owner, self.name = transport, owner, name

    def __repr__(self) -> str:
        return f"AsyncSession({self.owner!r}, {self.name!r})"

    # --- the whole session

    async def create(self, **options: Unpack[CreateOptions]) -> Description:
        """Open it; one that is open is left as it is (`created` tells)."""
        return await self._ask(verbs.CREATE, **options)

    async def describe(self) -> Description:
        """What it is and what it is doing."""
        return await self._ask(verbs.DESCRIBE)

    async def usage(self) -> Usage:
        """What it uses."""
        return await self._ask(verbs.USAGE)

    async def extend(self, ttl: str | None = None, lifetime: str | None = None) -> Description:
        """Begin its idle time anew; with another length if `ttl` says so."""
        return await self._ask(verbs.EXTEND, ttl=ttl, lifetime=lifetime)

    async def freeze(self) -> Description:
        """Stop everything in it where it is."""
        return await self._ask(verbs.FREEZE)

    async def thaw(self) -> Description:
        """Let it go on."""
        return await self._ask(verbs.THAW)

    async def close(self) -> None:
        """End it; returns when no process and no file of it is left."""
        await self._ask(verbs.CLOSE)

    async def snapshot(self, name: str) -> Snapshot:
        """Keep its files as they are now, under a name of the owner's."""
        return await self._ask(verbs.SNAPSHOT, name=name)

    async def snapshots(self) -> tuple[Snapshot, ...]:
        """The snapshots of the session's owner."""
        return await self._ask(verbs.SNAPSHOTS)

    async def remove_snapshot(self, name: str) -> None:
        """Remove a snapshot. Raises Conflict while a session or another snapshot stands on it."""
        await self._ask(verbs.REMOVE_SNAPSHOT, name=name)

    async def fork(self, name: str, snapshot: str | None = None, **options: Unpack[ForkOptions]) -> AsyncSession:
        """Another session of the same owner that begins with the files of this one, or of a snapshot."""
        await self._ask(verbs.FORK, to_session=name, snapshot=snapshot, **options)
        return AsyncSession(self._transport, self.owner, name)

    # --- commands

    async def exec(self, command: str, *, timeout: float | None = None, stdin: str | None = None) -> Result:
        """Text for the session's shell, which keeps directory, variables and functions from one to the next.

        `timeout` in seconds; without one, the service's default (30). A command that fails or runs out of time is a
        Result like any other.
        """
        return await self._ask(verbs.EXEC, command=command, timeout_ms=milliseconds(timeout), stdin=stdin)

    async def run(
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
            return verbs.RUN.read(
                await self._transport.call("sandbox.run", params | stdio.params, True, stdio.descriptors)
            )

    async def start(self, argv: Sequence[str], *, stdin: str | bytes = b"", **options: Unpack[RunOptions]) -> RunInfo:
        """The same in the background; read `output(id)`, ask `wait(id)`."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        params = run_params(argv, options) | ({"stdin_b64": descriptors.b64(data)} if data else {})
        return await self._ask(verbs.START, background=True, **params)

    async def runs(self) -> tuple[RunInfo, ...]:
        """All that were started and are not forgotten yet."""
        return await self._ask(verbs.RUNS)

    def output(
        self, run: str, *, stdout: int = 0, stderr: int = 0, follow: bool = False
    ) -> AsyncStream[Chunk | RunInfo]:
        """What a run wrote, from these bytes on; with `follow`, until it has ended. How it stands comes
        last."""
        params = {"id": run, "offset": {"stdout": stdout, "stderr": stderr}, "follow": follow}
        return AsyncStream(self._transport.stream("sandbox.output", self._named(params)), output.chunk)

    async def wait(self, run: str, timeout: float | None = None) -> RunInfo:
        """How a run stands when it has ended, or after `timeout` seconds."""
        while True:
            found = await self._ask(
                verbs.WAIT, id=run, wait_ms=milliseconds(LONGEST_WAIT if timeout is None else timeout)
            )
            if found.ended or timeout is not None:
                return found

    async def signal(self, run: str, signal: str = "TERM", *, group: bool = False) -> None:
        """Send a signal to a run's program, or to its whole process group."""
        await self._ask(verbs.SIGNAL, id=run, signal=signal, group=group or None)

    async def kill(self, run: str) -> RunInfo:
        """End a run and all its children."""
        return await self._ask(verbs.KILL, id=run)

    # --- terminals

    async def shell(
        self,
        terminal: str = "main",
        *,
        rows: int | None = None,
        cols: int | None = None,
        offset: int | None = None,
        command: str | None = None,
    ) -> AsyncTerminal:
        """Look at a terminal and type into it; opened where it is not there. Begins with all that is kept, or with
        the byte `offset`."""
        params = {"terminal": terminal, "rows": rows, "cols": cols, "offset": offset, "command": command}
        return await AsyncTerminal.over(await self._transport.attach(self._named(params)), self.resize)

    async def terminals(self) -> tuple[TerminalInfo, ...]:
        """All that are open."""
        return await self._ask(verbs.TERMINALS)

    async def resize(self, terminal: str, rows: int, cols: int, viewer: int | None = None) -> None:
        """Tell the size of one viewer's window, or of all."""
        await self._ask(verbs.RESIZE, terminal=terminal, rows=rows, cols=cols, viewer=viewer)

    async def hangup(self, terminal: str = "main") -> None:
        """End a terminal and what runs in it."""
        await self._ask(verbs.HANGUP, terminal=terminal)

    # --- files

    async def put(self, path: LocalPath, remote: str, *, mode: str | None = None) -> Transfer:
        """Copy a local file in: whole or not at all, and what arrives is what was read."""
        with local.source(path) as fd:
            params = self._named({"path": remote, "mode": mode, **await asyncio.to_thread(local.expectations, fd)})
            return verbs.PUT.read(await self._transport.call("sandbox.put", params, True, (fd,)))

    async def get(self, remote: str, path: LocalPath) -> Transfer:
        """Copy a file out; it takes its place when it has arrived whole."""
        with local.sink(path, os.path.basename(remote)) as fd:
            found = await self._fetch(verbs.GET, fd, {"path": remote})
            local.take_mode(fd, found.mode)
            return found

    async def export(self, path: LocalPath, remote: str | None = None) -> Archive:
        """Write a tar of the session's root, or of one path of it, to a local file."""
        with local.sink(path, f"{self.owner}-{self.name}.tar") as fd:
            return await self._fetch(verbs.EXPORT, fd, {"path": remote})

    async def write(self, remote: str, data: str | bytes, *, mode: str | None = None) -> Transfer:
        """Make a file of this content."""
        raw = data.encode() if isinstance(data, str) else data
        with descriptors.in_memory(raw) as fd:
            params = self._named({"path": remote, "mode": mode, **await asyncio.to_thread(local.expectations, fd)})
            return verbs.PUT.read(await self._transport.call("sandbox.put", params, True, (fd,)))

    async def read(self, remote: str, *, offset: int | None = None, size: int | None = None) -> bytes:
        """A file's content, or part of it."""
        with descriptors.in_memory() as fd:
            await self._fetch(verbs.GET, fd, {"path": remote, "offset": offset, "size": size})
            return descriptors.content(fd)

    def files(self, remote: str = "/root") -> AsyncGenerator[Entry, None]:
        """What is in a directory."""
        return self._pages(verbs.FILES, path=remote)

    async def stat(self, remote: str) -> FileInfo:
        """One file, directory or link itself."""
        return await self._ask(verbs.STAT, path=remote)

    async def mkdir(self, remote: str, *, parents: bool = False) -> None:
        """Make a directory."""
        await self._ask(verbs.MKDIR, path=remote, parents=parents)

    async def move(self, remote: str, to: str) -> None:
        """Give a file another name."""
        await self._ask(verbs.MOVE, **{"from": remote, "to": to})

    async def remove(self, remote: str, *, recursive: bool = False) -> None:
        """Remove a file; `recursive`, a directory with all that is in it."""
        await self._ask(verbs.REMOVE, path=remote, recursive=recursive)

    def watch(self, remote: str = "/root", *, recursive: bool = False) -> AsyncStream[Event]:
        """What happens to a file or in a directory; `watching` comes first."""
        params = self._named({"path": remote, "recursive": recursive})
        return AsyncStream(self._transport.stream("sandbox.watch", params), output.event)

    def diff(self) -> AsyncGenerator[Change, None]:
        """What is different from what it began with."""
        return self._pages(verbs.DIFF)

    # ---

    def _named(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"owner": self.owner, "session": self.name, **given(params)}

    async def _ask(self, verb: Verb[R], **params: Any) -> R:
        return verb.read(await self._transport.call(verb.method, self._named(params), verb.patient))

    async def _pages(self, verb: Verb[Page[R]], **params: Any) -> AsyncGenerator[R, None]:
        cursor = None
        while cursor != "":
            page = await self._ask(verb, **params, after=cursor)
            for item in page.items:
                yield item
            cursor = page.next

    async def _fetch(self, verb: Verb[R], fd: int, params: Mapping[str, Any]) -> R:
        filling = Filling(fd)
        try:
            answer = await self._transport.call(verb.method, self._named(params), True, (filling.descriptor,))
        finally:
            await asyncio.to_thread(filling.end)
        await asyncio.to_thread(local.check_arrived, fd, answer, params["path"] or self.name)
        return verb.read(answer)
