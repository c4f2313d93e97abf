# SPDX-License-Identifier: MIT
"""Programs with arguments: their input and output stream through pipes, and of what runs in the background."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple

from strata.api.beside import beside, together
from strata.api.grpc_call import Call
from strata.api.grpc_messages import filled, params_of
from strata.api.pipes import ReadEnd, WriteEnd
from strata.api.proto.strata.v1 import sandbox_pb2 as v1
from strata.errors import Conflict, InvalidArgument, NotFound

CHUNK = 262_144


async def run(call: Call) -> None:
    """First `start`, then standard input until the client half-closes; answers with output, then the result."""
    first = await call.first()
    if not first.HasField("start"):
        raise InvalidArgument("cannot run: the first message must be `start`")
    params = {"id": secrets.token_hex(8)} | params_of(first.start)
    if first.start.background:
        result = await call.ask("sandbox.run", params)
    else:
        params.pop("stdin", params.pop("stdin_b64", None))
        with _pipes() as pipes:
            which = {"owner": first.start.owner, "session": first.start.session, "id": params["id"]}
            result = await beside(_ran(call, params, pipes), _fed(call, first.start.stdin, which, pipes.stdin))
    await call.send(v1.RunOutput(result=filled(v1.CommandResult, result)))


class _Pipes(NamedTuple):
    stdin: WriteEnd
    stdout: ReadEnd
    stderr: ReadEnd
    theirs: tuple[int, int, int]


@contextlib.contextmanager
def _pipes() -> Iterator[_Pipes]:
    with contextlib.ExitStack() as stack:
        theirs_in, ours_in = os.pipe()
        ours_out, theirs_out = os.pipe()
        ours_err, theirs_err = os.pipe()
        theirs = (theirs_in, theirs_out, theirs_err)
        for descriptor in theirs:
            stack.callback(os.close, descriptor)
        pipes = _Pipes(WriteEnd(ours_in), ReadEnd(ours_out), ReadEnd(ours_err), theirs)
        for end in pipes[:3]:
            stack.callback(end.close)
        yield pipes


async def _ran(call: Call, params: dict[str, Any], pipes: _Pipes) -> Any:
    """The room's answer, once all output that came before it is sent."""

    async def asked() -> Any:
        result = await call.ask("sandbox.run", params | {"descriptors": ["stdin", "stdout", "stderr"]}, pipes.theirs)
        pipes.stdout.finish()
        pipes.stderr.finish()
        return result

    return await together(asked(), _sent(call, "stdout", pipes.stdout), _sent(call, "stderr", pipes.stderr))


async def _sent(call: Call, name: str, end: ReadEnd) -> None:
    offset = 0
    while data := await end.read(CHUNK):
        await call.send(v1.RunOutput(chunk=v1.OutputChunk(stream=name, offset=offset, data=data)))
        offset += len(data)


async def _fed(call: Call, begin: bytes, which: dict[str, str], stdin: WriteEnd) -> None:
    await _typed(begin, stdin)
    async for message in call.messages():
        if message.HasField("start"):
            raise InvalidArgument("cannot run: `start` is for the first message only")
        if message.HasField("signal"):
            await _signalled(call, which | {"signal": message.signal})
        else:
            await _typed(message.stdin, stdin)
    stdin.close()


async def _typed(data: bytes, stdin: WriteEnd) -> None:
    with contextlib.suppress(BrokenPipeError):  # the program reads no more; that is its own affair
        await stdin.write(data)


async def _signalled(call: Call, params: dict[str, str]) -> None:
    with contextlib.suppress(Conflict, NotFound):  # it has ended, as its result will tell, or has not begun
        await call.ask("sandbox.signal", params)


async def output(call: Call) -> None:
    """What a background run wrote, and, when it has ended, its result."""
    params = params_of(await call.first())
    async with contextlib.aclosing(call.follow("sandbox.output", params)) as events:
        async for event in events:
            if "stream" in event:
                await call.send(v1.RunOutput(chunk=filled(v1.OutputChunk, event)))
            else:
                await call.send(v1.RunOutput(result=filled(v1.CommandResult, event)))


async def watch(call: Call) -> None:
    """Changes below a path, as they happen."""
    params = params_of(await call.first())
    async with contextlib.aclosing(call.follow("sandbox.watch", params)) as events:
        async for event in events:
            await call.send(filled(v1.WatchEvent, event))
