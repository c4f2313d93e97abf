# SPDX-License-Identifier: MIT
"""Commands of a session: in its shell (exec), or as programs of their own (run), whose bytes pass through pipes."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from strata.api import bodies, events, framed, results
from strata.api.beside import beside, together
from strata.api.exchange import Reply, Request
from strata.api.forwarding import forward, parameters
from strata.api.framed import STDERR, STDOUT, Frames
from strata.api.pipes import ReadEnd, WriteEnd
from strata.api.routing import Route
from strata.errors import InvalidArgument

PIPE_BYTES = 1_048_576  # what an unprivileged process may ask for (pipe(7), pipe-max-size)
_SESSION = "/api/v1/sessions/{owner}/{session}"
_RUN = _SESSION + "/runs/{id}"


class Stdio(NamedTuple):
    """Our ends of a program's pipes, and the ends that the room is given, by name."""

    stdin: WriteEnd | None
    stdout: ReadEnd | None
    stderr: ReadEnd | None
    theirs: dict[str, int]


@contextlib.contextmanager
def stdio(feed: bool, read: bool) -> Iterator[Stdio]:
    """Pipes for what is fed and what is read; every end is closed when the context is left."""
    with contextlib.ExitStack() as stack:
        ours: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"))
        theirs: dict[str, int] = {}
        for name in ("stdin",) * feed + ("stdout", "stderr") * read:
            out, into = os.pipe()
            with contextlib.suppress(PermissionError):  # the user's share of pipe memory is used up: smaller then
                fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            ours[name], theirs[name] = (WriteEnd(into), out) if name == "stdin" else (ReadEnd(out), into)
            stack.callback(os.close, theirs[name])
            stack.callback(ours[name].close)
        yield Stdio(ours["stdin"], ours["stdout"], ours["stderr"], theirs)


async def execute(request: Request) -> Reply:
    """A command for the session's shell."""
    token = request.token
    params = await parameters(request)
    if not params.get("command"):
        raise InvalidArgument("command is required")
    return Reply(await request.door.room.raw("sandbox.exec", params, token))


async def run(request: Request) -> Reply:
    """A program. With `argv` in the query, the body is its standard input; else the body says all in JSON."""
    _ = request.token
    feed = any(name == "argv" for name, _ in request.query)
    params: dict[str, Any] = dict(request.path)
    if feed:
        params |= _from_query(request.options(bodies.RunOptions))
    else:
        params |= msgspec.to_builtins(await request.json(bodies.Run)) | dict(request.path)
    if request.accepts(framed.MEDIA) and not params.get("background"):
        frames = Frames()
        return await frames.reply(_streamed(request, params, feed, frames))
    return Reply(await _collected(request, params, feed))


async def _collected(request: Request, params: dict[str, Any], feed: bool) -> bytes:
    """The room keeps the output, as much as it keeps of any."""
    if not feed:
        return await request.door.room.raw("sandbox.run", params, request.token)
    with stdio(feed=True, read=False) as pipes:
        return await beside(_asked(request, params, pipes), _fed(request, pipes))


async def _streamed(request: Request, params: dict[str, Any], feed: bool, frames: Frames) -> bytes:
    with stdio(feed, read=True) as pipes:
        assert pipes.stdout
        assert pipes.stderr
        work = together(
            _asked(request, params, pipes), frames.pump(STDOUT, pipes.stdout), frames.pump(STDERR, pipes.stderr)
        )
        return await (beside(work, _fed(request, pipes)) if feed else work)


async def _asked(request: Request, params: dict[str, Any], pipes: Stdio) -> bytes:
    """The room's answer: from then on, what is in the pipes is all that counts."""
    passed = params | {"descriptors": [*pipes.theirs]}
    result = await request.door.room.raw("sandbox.run", passed, request.token, [*pipes.theirs.values()])
    for end in (pipes.stdout, pipes.stderr):
        if end:
            end.finish()
    return result


async def _fed(request: Request, pipes: Stdio) -> None:
    assert pipes.stdin
    with contextlib.suppress(BrokenPipeError):  # the program reads no more; that is its own affair
        async for piece in request.chunks():
            await pipes.stdin.write(piece)
    pipes.stdin.close()


async def output(request: Request) -> Reply:
    """What a run in the background wrote, from an offset on."""
    token = request.token
    wanted = request.options(bodies.Output)
    params: dict[str, Any] = dict(request.path) | {
        "offset": {"stdout": wanted.stdout, "stderr": wanted.stderr},
        "follow": wanted.follow,
    }
    return await events.reply(request, request.door.room.stream("sandbox.output", params, token))


def _from_query(options: bodies.RunOptions) -> dict[str, Any]:
    params: dict[str, Any] = msgspec.to_builtins(options)
    if options.env:
        params["env"] = _pairs(options.env, "env")
    return params


def _pairs(lines: list[str], what: str) -> dict[str, str]:
    for line in lines:
        if "=" not in line:
            raise InvalidArgument(f"cannot read {what}={line[:64]!r}: it must be NAME=VALUE")
    return dict(line.split("=", 1) for line in lines)


ROUTES = (
    Route(
        "POST",
        _SESSION + "/exec",
        execute,
        "Run a command in the session's shell, which keeps its directory, variables and functions",
        "sandbox.exec",
        body=bodies.Exec,
        result=results.ExecResult,
    ),
    Route(
        "POST",
        _SESSION + "/run",
        run,
        "Run a program of its own; with `argv` in the query, the request's body is its standard input",
        "sandbox.run",
        body=bodies.Run,
        result=results.RunResult,
        sends=("application/octet-stream",),
        answers=("application/json", framed.MEDIA),
    ),
    Route("GET", _SESSION + "/runs", forward, "Programs that run or ran", "sandbox.runs", result=results.Runs),
    Route(
        "GET",
        _RUN + "/output",
        output,
        "What a program in the background wrote, from an offset on",
        "sandbox.output",
        query=bodies.Output,
        result=results.Event,
        answers=events.MEDIA,
    ),
    Route("POST", _RUN + "/signal", forward, "Send a signal", "sandbox.signal", body=bodies.Signal),
    Route("POST", _RUN + "/kill", forward, "Kill the program and all that it started", "sandbox.kill"),
    Route(
        "POST", _RUN + "/wait", forward, "Wait for its end", "sandbox.wait", body=bodies.Wait, result=results.RunResult
    ),
)
