# SPDX-License-Identifier: MIT
"""Run a program beside a private systemd: in its namespaces, and in a cgroup of its own below the private root."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeAlias

from strata.embedded import cgroups
from strata.embedded import namespaces as ns
from strata.embedded.record import Embedded
from strata.errors import InvalidArgument, Unavailable

Stream: TypeAlias = "int | IO[Any] | None"

# What a person or a service manager sends to end, poke or resize a program; the rest is the kernel's or means us.
_PASSED_ON = [
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT, signal.SIGWINCH),
]
# The terminal sends these to everyone in its foreground group, the program included (termios(3)).
_FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH)
_GONE = "cannot run beside the private systemd: it is not running; start it with `strata-ctl up`"


def run(
    embedded: Embedded,
    argv: Sequence[str],
    *,
    stdin: Stream = None,
    stdout: Stream = None,
    stderr: Stream = None,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
) -> int:
    """Run `argv` and return its exit code: 128 + N for signal N, 127 not found, 126 not a program (as sh(1) has it).

    Streams are passed as they are, None means the caller's own; so are `env` and `cwd`, which falls back to / where
    the directory is not there inside. Signals go on to the program. Raises Unavailable when the systemd is gone.
    """
    if not argv or any("\0" in word for word in argv):
        raise InvalidArgument("cannot run beside the private systemd: a command without NUL bytes is needed")
    where = os.fspath(cwd) if cwd is not None else os.getcwd()
    # Held back until there is a program to pass them on to, so that none is lost and none ends only the runner.
    before = set(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)))
    try:
        with _leaf(embedded) as leaf:
            with _namespaces(embedded, leaf, where, before) as enter:
                process = subprocess.Popen(
                    list(argv), stdin=stdin, stdout=stdout, stderr=stderr, env=env, preexec_fn=enter
                )
            with _passing_on(process):
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                code = process.wait()
    except OSError as error:
        return _not_run(argv[0], error)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return 128 - code if code < 0 else code


def shell(embedded: Embedded) -> int:
    """An interactive shell beside the private systemd, the caller's own if it is there; its exit code."""
    wanted = os.environ.get("SHELL", "/bin/sh")
    there = os.path.exists(f"/proc/{embedded.pid}/root{wanted}")
    return run(embedded, [wanted if there else "/bin/sh", "-i"])


@contextlib.contextmanager
def _leaf(embedded: Embedded) -> Iterator[tuple[Path, ...]]:
    made = (
        cgroups.leaves(embedded.cgroups, f"run-{os.getpid()}-{threading.get_native_id()}") if embedded.alive() else ()
    )
    try:
        yield made
    finally:
        # What the program left running stays, in a cgroup that stop knows how to end.
        cgroups.remove(made, 0)


@contextlib.contextmanager
def _namespaces(
    embedded: Embedded, leaf: tuple[Path, ...], cwd: str, signals: set[int]
) -> Iterator[Callable[[], None]]:
    """Children of this thread are born into the private PID namespace meanwhile; the function takes them the rest."""
    try:
        pidfd = os.pidfd_open(embedded.pid)
    except ProcessLookupError:
        raise Unavailable(_GONE) from None
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not embedded.alive():
            raise Unavailable(_GONE)
        root = os.open(f"/proc/{embedded.pid}/root", os.O_PATH | os.O_CLOEXEC)
        ns.setns(pidfd, ns.NEWPID)
        try:
            yield lambda: _enter(pidfd, root, leaf, cwd, signals)
        finally:
            ns.setns(own, ns.NEWPID)
            os.close(root)
    finally:
        os.close(own)
        os.close(pidfd)


def _enter(pidfd: int, root: int, leaf: tuple[Path, ...], cwd: str, signals: set[int]) -> None:
    cgroups.join(leaf)
    ns.setns(pidfd, ns.NEWNS | ns.NEWIPC | ns.NEWUTS | ns.NEWCGROUP)
    # setns(2) gives the root of the mount namespace, which is not PID 1's own where it was booted inside a chroot.
    os.fchdir(root)
    os.chroot(".")
    try:
        os.chdir(cwd)
    except OSError:
        os.chdir("/")
    signal.pthread_sigmask(signal.SIG_SETMASK, signals)


@contextlib.contextmanager
def _passing_on(process: subprocess.Popen[Any]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can take signals (signal(7), Python's signal module)
        return
    before = {number: signal.signal(number, lambda got, _frame: _pass(process, got)) for number in _PASSED_ON}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _pass(process: subprocess.Popen[Any], number: int) -> None:
    if number in _FROM_TERMINAL and _in_foreground():
        return
    process.send_signal(number)


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def _not_run(program: str, error: OSError) -> int:
    print(f"cannot run {program}: {error.strerror}", file=sys.stderr)
    return 127 if error.errno in (errno.ENOENT, errno.ENOTDIR) else 126
