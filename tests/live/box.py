# SPDX-License-Identifier: MIT
"""A session's root and bubblewrap in it, made as the launcher makes them, without a unit or a room around."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from strata.sandbox.launcher import joining, kernel, userns
from strata.sandbox.layers import build, bwrap

BASE = 0x7000_0000
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin:/sbin", "HOME": "/root", "LC_ALL": "C"}


class Refused(Exception):
    """What the one who builds the root says that cannot be done."""


def raw(directory: Path, **more: Any) -> dict[str, Any]:
    """A plan as the room writes it, for system mode unless told otherwise."""
    plan: dict[str, Any] = {"directory": str(directory), "base": "", "driver": "kernel", "layers": []}
    plan |= {"disk_bytes": 64 << 20, "inodes": 4096, "uid_base": BASE, "mapped": True, "network": "isolated"}
    return plan | more


class Box(NamedTuple):
    """`outer`: bubblewrap; `init`: process 1 inside, both by their pids here; `said`: what the builder reported."""

    plan: dict[str, Any]
    outer: int
    init: int
    said: dict[str, Any]

    def run(self, command: str) -> tuple[int, str]:
        """Run a shell command inside, as the launcher's spawn does: exit status, and both outputs together."""
        return ran(self.plan["uid"], lambda: self._inside(command))

    def out(self, command: str) -> str:
        """As `run`; the output, stripped, of a command that must succeed."""
        status, output = self.run(command)
        assert status == 0, output
        return output.strip()

    def _inside(self, command: str) -> None:
        joining.enter(os.pidfd_open(self.init), joining.EVERYTHING)
        child = os.fork()
        if child == 0:
            joining.give_up()
            os.chdir("/root")
            os.execve(self.said["shell"], ["sh", "-c", command], ENVIRONMENT)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF)

    def look(self, function: Callable[[], Any]) -> Any:
        """Call a function in a process outside, privileged as the launcher's workers are; what it returned."""
        status, output = ran(self.plan["uid"], lambda: _tell(json.dumps(function())))
        assert status == 0, output
        return json.loads(output)


def ran(uid: int, function: Callable[[], None]) -> tuple[int, str]:
    """Call a function in a fork, as another user; exit status and output."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        _be(uid, writable, function)
    os.close(writable)
    with open(readable, "rb") as file:
        output = file.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), output.decode("utf-8", "replace")


def _tell(text: str) -> None:
    os.write(1, text.encode())


def _be(uid: int, writable: int, function: Callable[[], None]) -> None:
    try:
        for number in (1, 2):
            os.dup2(writable, number)
        os.setsid()
        if uid != os.getuid():
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            kernel.set_dumpable(True)
        function()
        os._exit(0)
    except Exception:  # noqa: BLE001  the parent reads it as the output
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(70)


@contextlib.contextmanager
def opened(directory: Path, uid: int = 0, seccomp: bytes = b"", **more: Any) -> Iterator[Box]:
    """A session, until the block ends; by then all its processes have. Raises Refused."""
    box = start(directory, uid, seccomp, **more)
    try:
        yield box
    finally:
        end(box)


def start(directory: Path, uid: int = 0, seccomp: bytes = b"", **more: Any) -> Box:
    """Open a session. Raises Refused with the reason why that cannot be."""
    directory.mkdir(parents=True, exist_ok=True)
    if uid:
        for path in (directory, *directory.parents[:3]):
            os.chown(path, uid, uid)
    plan = raw(directory, **more)
    (said_r, said_w), (ready_r, ready_w), (info_r, info_w) = os.pipe(), os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        for fd in (said_r, ready_r, info_r):
            os.close(fd)
        _be(uid, ready_w, lambda: _open(plan, said_w, info_w, seccomp))
    for fd in (said_w, ready_w, info_w):
        os.close(fd)
    with open(said_r) as said, open(ready_r, "rb", buffering=0) as ready, open(info_r) as info:
        report = json.loads(said.read() or '{"error": "the builder died"}')
        first = ready.read(65536)
        if first != b"1":
            os.waitpid(child, 0)
            raise Refused(report.get("error") or first.decode())
        return Box({**plan, "uid": uid}, child, json.loads(info.read())["child-pid"], report)


def _open(plan: dict[str, Any], said: int, info: int, seccomp: bytes) -> None:
    try:
        namespace = userns.of_range(plan["uid_base"]) if plan["mapped"] else None
        if namespace is None:
            userns.of_caller()
        kernel.unshare(kernel.NEWNS)
        kernel.make_private()
        root = build.build(plan, namespace)
        os.write(said, json.dumps(root._asdict()).encode())
    except OSError as error:
        os.write(said, json.dumps({"error": str(error.strerror or error)}).encode())
        os._exit(1)
    if namespace is not None:
        kernel.setns(namespace, kernel.NEWUSER)
        joining.become_root()
    for number, end in enumerate(os.pipe()):
        os.dup2(end, number)
    program = None
    if seccomp:
        program = os.memfd_create("seccomp")
        os.write(program, seccomp)
        os.lseek(program, 0, os.SEEK_SET)
    argv = bwrap.arguments(root, network=plan["network"], info_fd=info, seccomp_fd=program)
    kept = [0, 1, 2, info, *root.inherited, *([] if program is None else [program])]
    kernel.close_all_but(kept)
    for fd in kept:
        os.set_inheritable(fd, True)
    os.execve(argv[0], argv, {})


def end(box: Box) -> None:
    """Kill process 1 inside, and with it all others; returns when bubblewrap has seen it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(box.init, signal.SIGKILL)
    os.waitpid(box.outer, 0)
