# SPDX-License-Identifier: MIT
"""A command in a session: a keeper that stays outside and waits, and a child that becomes the command.

A command that is `unkept` is a child of the launcher instead, and the keeper is gone once it has told the room who that
is; its end is then the kernel's to tell (launcher/ends.py). That is for a command that stays and mostly waits: a keeper
is 2 MiB of memory.

The keeper is in the scope's `keepers` cgroup and outside the sandbox's process namespace, so the sandbox can neither
see nor stop it; it outlives the room, so an end is known also after a restart. What it has to say is one line of JSON
on its status descriptor: {"exit_code"|"signal", "cpu_ms", "max_rss"} or {"stage", "errno", "message"}.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import termios
from typing import Any, NamedTuple, NoReturn

from strata.sandbox.launcher import joining, kernel

_TIOCSPTLCK = 0x40045431  # linux asm-generic/ioctls.h: 0 unlocks the other side of a terminal
_TIOCGPTPEER = 0x5441  # opens it without a path
_LAST = kernel.NEWUSER | kernel.NEWCGROUP
_HIGH = 256  # above every number that a plan asks for

KEPT, UNKEPT = b"K", b"P"
"""First messages of a command that may be without a keeper: it has one; its pid, with a pidfd."""

OF_THE_ROOM = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that the launcher ignores: they are meant for the room, with which it ends."""

# Found here once: asking for all of them takes longer than half a fork.
_IGNORED = {*OF_THE_ROOM, *(each for each in signal.valid_signals() if signal.getsignal(each) == signal.SIG_IGN)}


class Descriptors(NamedTuple):
    """What comes with a spawn, in this order: `first`, see joining.first_process. For a terminal, `status` is a stream
    socket and there are no others: the terminal's master goes out over it first. Else `others` take the numbers that
    the plan's `numbers` say. For a command without a keeper `status` is a seqpacket socket."""

    first: int
    status: int
    others: tuple[int, ...]


class Way(NamedTuple):
    """What is left for a child to go: cgroups to join and namespaces to enter; and the descriptors it took to fork.
    `pidfd` is None for a child of the keeper; else it is one of the child, and -1 in that itself."""

    groups: tuple[int, ...]
    opened: tuple[int, ...]
    namespaces: int
    pidfd: int | None


def run(plan: dict[str, Any], fds: list[int], program: bytes) -> NoReturn:
    """Be the keeper; never returns. `program` is the seccomp filter."""
    given = Descriptors(fds[0], fds[1], tuple(fds[2:]))
    try:
        _keep(plan, given, program)
    except OSError as error:
        _say(given.status, {"stage": "join", "errno": error.errno, "message": str(error.strerror or error)})
    finally:
        os._exit(0)


def _keep(plan: dict[str, Any], given: Descriptors, program: bytes) -> None:
    joining.join_cgroups(own := joining.open_cgroups(plan["keepers"]))
    choice = _choice()  # in there, /proc does not know us
    given = given._replace(first=joining.first_process(given.first))
    failed_r, failed_w = os.pipe()
    fork = _fork_as_user if os.geteuid() else _fork_as_root
    child, way = fork(plan, given)
    if child == 0:
        _become(plan, given, way, failed_w if way.pidfd is None else given.status, program)
    if way.pidfd is not None:
        _hand_over(given.status, child, way.pidfd)
        return
    if plan["unkept"]:
        _write(given.status, KEPT)
    try:
        _outlive(choice)
        _go_along(given, way)
    except OSError:
        os.kill(child, signal.SIGKILL)
        raise
    for fd in {*own, *choice, *way.opened, *given.others, failed_w, given.first}:
        os.close(fd)
    failure = os.read(failed_r, 4096)
    _, status, usage = os.wait4(child, 0)
    _say(given.status, json.loads(failure) if failure else _ended(status, usage))


def _fork_as_root(plan: dict[str, Any], given: Descriptors) -> tuple[int, Way]:
    """The child is born in its cgroup, which only somebody of the host can do. So its user is changed last: until then
    it can be seen inside, and all that is seen of it is the session's own but for its user, whom nobody there can
    signal, trace or ask for more (proc(5), ptrace(2): it is not dumpable)."""
    tree = os.open(plan["group"][0], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    groups = joining.open_cgroups(plan["group"])
    # With `nsdelegate`, nobody is born outside the cgroups that his namespace shows (cgroups(7)).
    joining.look_in(given.first, joining.namespaces(plan["network"]) & ~_LAST)
    child, born, pidfd = _fork(plan, tree)
    return child, Way(tuple(groups[born:]), (tree, *groups), _LAST, pidfd)


def _fork_as_user(plan: dict[str, Any], given: Descriptors) -> tuple[int, Way]:
    """Only who is in a session's user namespace may be among its processes."""
    groups = tuple(joining.open_cgroups(plan["group"]))
    joining.enter(given.first, joining.namespaces(plan["network"]))
    child, _, pidfd = _fork(plan, None)
    return child, Way(groups, groups, 0, pidfd)


def _fork(plan: dict[str, Any], tree: int | None) -> tuple[int, bool, int | None]:
    if plan["unkept"] and plan["told"]:
        return joining.fork_beside(tree)
    return (*(joining.fork_into(tree) if tree is not None else (os.fork(), False)), None)


def _hand_over(status: int, child: int, pidfd: int) -> None:
    """The child is the room's to watch. Raises OSError when there is no room any more: then it is ended."""
    try:
        with socket.socket(fileno=os.dup(status)) as room:
            socket.send_fds(room, [b"%s%d" % (UNKEPT, child)], [pidfd])
    except OSError:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        raise


def _choice() -> list[int]:
    """A descriptor by which to say whom the kernel ends when memory is used up (proc(5), oom_score_adj); none for an
    ordinary user, whose that file is not."""
    with contextlib.suppress(PermissionError):
        return [os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)]
    return []


def _outlive(choice: list[int]) -> None:
    """Be the last of all: whoever took the memory is to go, and be told of. Without CAP_SYS_RESOURCE nobody is."""
    with contextlib.suppress(PermissionError):
        for fd in choice:
            os.write(fd, b"-999")


def _go_along(given: Descriptors, way: Way) -> None:
    """The keeper too is in the session, but for its processes, and holds nothing that it could give away."""
    if way.namespaces:
        joining.enter(given.first, way.namespaces)
    joining.give_up()


def _ended(status: int, usage: resource.struct_rusage) -> dict[str, Any]:
    end = {"signal": os.WTERMSIG(status)} if os.WIFSIGNALED(status) else {"exit_code": os.WEXITSTATUS(status)}
    return end | {"cpu_ms": round((usage.ru_utime + usage.ru_stime) * 1000, 3), "max_rss": usage.ru_maxrss * 1024}


def _say(status: int, record: dict[str, Any]) -> None:
    _write(status, json.dumps(record).encode() + b"\n")


def _write(status: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody wants to know any more
        os.write(status, data)


def _terminal(plan: dict[str, Any], given: Descriptors) -> dict[int, int]:
    """A pair of the sandbox's own devpts; the master goes to the room, the other side becomes the child's three."""
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", plan["rows"], plan["cols"], 0, 0))
    other = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    with socket.socket(fileno=os.dup(given.status)) as room:
        socket.send_fds(room, [b"T"], [master])
    os.close(master)
    return {0: other, 1: other, 2: other}


def _become(plan: dict[str, Any], given: Descriptors, way: Way, failed: int, program: bytes) -> NoReturn:
    """Be the command. What goes wrong on the way is told through `failed`, which exec closes."""
    stage = "join"
    try:
        joining.join_cgroups(way.groups)
        if way.namespaces:
            joining.enter(given.first, way.namespaces)
        os.setsid()
        places = _terminal(plan, given) if plan["terminal"] else dict(zip(plan["numbers"], given.others, strict=True))
        failed = fcntl.fcntl(failed, fcntl.F_DUPFD_CLOEXEC, _HIGH)
        _place(places)
        if plan["terminal"]:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        kernel.close_all_but([*places, failed])
        _limit(plan)
        _reset_signals()
        stage = "directory"
        os.chdir(plan["cwd"])
        stage = "restrict"
        joining.give_up()
        kernel.install_seccomp(program)
        stage = "exec"
        os.umask(0o022)
        _exec(plan["argv"], plan["env"])
    except OSError as error:
        record = {"stage": stage, "errno": error.errno, "message": str(error.strerror or error)}
        _say(failed, record)
    finally:
        os._exit(127)


def _place(places: dict[int, int]) -> None:
    """Bring each descriptor to its number, whatever numbers they have now."""
    aside = {number: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH) for number, fd in places.items()}
    for number, fd in aside.items():
        os.dup2(fd, number)


def _limit(plan: dict[str, Any]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if files := plan.get("files_max"):
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))


def _reset_signals() -> None:
    """Python ignores SIGPIPE and SIGXFSZ, the launcher more; what is ignored would stay so over an exec."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _exec(argv: list[str], env: dict[str, str]) -> NoReturn:
    """As execvpe(3); os.execvpe() does much beside. Raises OSError: of the names that were tried the first that is
    there, though it cannot be executed, or that there is none."""
    if "/" in argv[0]:
        os.execve(argv[0], argv, env)  # noqa: S606  that is what a sandbox is for
    found: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for directory in env.get("PATH", os.defpath).split(":"):
        try:
            os.execve(f"{directory or '.'}/{argv[0]}", argv, env)  # noqa: S606
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            found = found if found.errno != errno.ENOENT else error
    raise found
