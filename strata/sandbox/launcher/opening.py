# SPDX-License-Identifier: MIT
"""The first process of a session: makes its namespaces and its root, waits to be in its scope, becomes bubblewrap.

What it reports to the room, over a stream socket: {"shell", "driver", "warnings", …} with the exchange directory and
bubblewrap's two pipes (ready, info) once the root stands; or {"error"}. What it waits for: {"go"}. Until then it is
Strata's own code and holds nothing of the sandbox; afterwards it is bubblewrap, which holds nothing of Strata.
"""

from __future__ import annotations

import os
import socket
from typing import Any, NamedTuple, NoReturn

from strata.sandbox.launcher import channel, joining, kernel, userns
from strata.sandbox.layers import build, bwrap
from strata.sandbox.layers.plan import Root


class _Pipes(NamedTuple):
    ready_r: int
    ready_w: int
    info_r: int
    info_w: int


def run(plan: dict[str, Any], fds: list[int], program: bytes) -> NoReturn:
    """Be the session's first process; never returns. `fds`: the socket to the room."""
    room = socket.socket(fileno=fds[0])
    try:
        _open(plan, room, program)
    except OSError as error:
        channel.send(room, {"error": str(error.strerror or error), "path": str(error.filename or "")})
    finally:
        os._exit(1)


def _open(plan: dict[str, Any], room: socket.socket, program: bytes) -> None:
    namespace = _isolate(plan)
    root = build.build(plan["root"], namespace)
    exchange = os.open(root.exchange, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    pipes = _Pipes(*os.pipe(), *os.pipe())
    report = {"shell": root.shell, "driver": root.driver, "warnings": root.warnings, "processes": root.processes}
    channel.send(room, report, [exchange, pipes.ready_r, pipes.info_r])
    if channel.receive(room) is None:
        return  # the room is gone or has changed its mind
    if namespace is not None:
        kernel.setns(namespace, kernel.NEWUSER)
        joining.become_root()
        userns.bound()
    _become_bwrap(plan, root, pipes, program)


def _isolate(plan: dict[str, Any]) -> int | None:
    """A mount namespace of our own; a descriptor of the user namespace to enter later, or None when already in it."""
    first = plan["root"]["uid_base"]
    if plan["root"]["mapped"]:
        namespace = userns.of_range(first)
    else:
        userns.of_caller()
        namespace = None
    kernel.unshare(kernel.NEWNS)
    kernel.make_private()
    return namespace


def _become_bwrap(plan: dict[str, Any], root: Root, pipes: _Pipes, program: bytes) -> None:
    seccomp = os.memfd_create("seccomp")
    os.write(seccomp, program)
    os.lseek(seccomp, 0, os.SEEK_SET)
    arguments = bwrap.arguments(
        root,
        network=plan["network"],
        seccomp_fd=seccomp,
        info_fd=pipes.info_w,
    )
    # The payload waits for ever for what only it could write.
    for number, end in enumerate(os.pipe()):
        os.dup2(end, number)
    os.dup2(pipes.ready_w, 2)  # that the payload is ready, or what bubblewrap has to complain of
    kept = [0, 1, 2, seccomp, pipes.info_w, *root.inherited]
    kernel.close_all_but(kept)
    for fd in kept:
        os.set_inheritable(fd, True)
    os.execve(arguments[0], arguments, {})  # noqa: S606  an argument vector, no shell
