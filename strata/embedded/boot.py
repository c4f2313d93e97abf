# SPDX-License-Identifier: MIT
"""Boot a private systemd for one runtime directory, find it again, and end it without a trace.

It is the system manager of PID, mount, IPC, UTS and cgroup namespaces of its own, in the machine's own file tree or in
one that is given; network and users are the machine's. Everything below asks for root.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from strata import processes
from strata.embedded import cgroups, lock, mountpoints, plan, ready, record, scratch
from strata.embedded.enter import run, shell
from strata.embedded.record import Embedded
from strata.errors import Conflict, NotFound, Unavailable
from strata.paths import Paths

__all__ = ["Embedded", "await_end", "boot", "clean", "find", "run", "shell", "stop"]

# systemd starts halt.target on it, which in a container ends PID 1 when all is stopped (systemd(1), SIGNALS).
_HALT = signal.SIGRTMIN + 3


def boot(paths: Paths, *, root: Path | None = None, binds: Sequence[Path] = (), timeout: float = 30.0) -> Embedded:
    """Boot a private systemd and return when it says that it is up; it outlives the caller.

    `root` is a file tree with a systemd in it (it is not written to), None the machine's own. `binds` are further paths
    of the machine to show at the same place inside, needed with a `root` or below /run. `timeout` is in seconds.
    Raises Conflict where one runs already for this runtime directory, and Unavailable where this machine cannot.
    """
    made = plan.directories((paths.runtime_dir, 0o755))
    try:
        with lock.locked(paths.runtime_dir, "boot a private systemd"):
            _refuse_second(paths)
            old = record.read(paths)
            _end(old or _leftover(paths), 0)
            made = (
                *(old.made if old else ()),
                *made,
                *plan.directories((paths.state_dir, 0o755), (paths.state_dir / "private", 0o700)),
            )
            return _boot_or_nothing(paths, root, binds, made, timeout)
    except BaseException:
        _remove_made(_above(paths.runtime_dir, made))
        raise


def find(paths: Paths) -> Embedded | None:
    """The private systemd of this runtime directory; None where none lives."""
    found = record.read(paths)
    return found if found is not None and found.alive() else None


def await_end(paths: Paths, timeout: float = 10.0) -> None:
    """Wait, so many seconds at most, for a private systemd that was killed: what runs on it ends with it, and answers
    until it has (PID 1 of a namespace is gone last, pid_namespaces(7))."""
    left = record.read(paths)
    if left is None or left.alive():
        return
    with contextlib.suppress(ProcessLookupError), _held(left.pid) as pidfd:
        found = processes.stat(left.pid)
        if found is not None and found.start == left.start_time:
            ready.gone(pidfd, timeout)


def stop(embedded: Embedded, timeout: float = 20.0) -> None:
    """End a private systemd in order, by force after `timeout` seconds, and remove all that it left; harmless twice."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(lock.locked(embedded.runtime_dir, "stop the private systemd", patience=timeout))
        except NotFound:  # whoever removed the directory has removed all else before
            return
        _end(embedded, timeout)
    _remove_made(_above(embedded.runtime_dir, embedded.made))


def clean(paths: Paths, timeout: float = 20.0) -> bool:
    """Stop whatever runs for this runtime directory and remove what a crash left; whether there was anything.

    Returns when nothing is to be seen of it, where stop returns when nothing of it lives.
    """
    found = record.read(paths) or _leftover(paths)
    if not any(trace.exists() for trace in (*found.cgroups, *_files(paths.runtime_dir))):
        return False
    # Without a record nobody knows who made the directories: they go if nothing is in them.
    own = (paths.runtime_dir, paths.state_dir, paths.state_dir / "private")
    # Somebody else who cleans up takes it away meanwhile, or what it lies in.
    with contextlib.suppress(FileNotFoundError, FileExistsError):
        paths.runtime_dir.mkdir(parents=True, exist_ok=True)
    stop(found._replace(made=found.made or own), timeout)
    ready.reaped(found.pid, 3.0)
    return True


def _boot_or_nothing(
    paths: Paths, root: Path | None, binds: Sequence[Path], made: tuple[Path, ...], timeout: float
) -> Embedded:
    try:
        return _boot(plan.make(paths, root, binds, made), timeout)
    except BaseException:
        _end((record.read(paths) or _leftover(paths))._replace(made=made), 0)
        raise


def _boot(wanted: plan.Plan, timeout: float) -> Embedded:
    try:
        with ready.Listener() as listener, ready.start(wanted, listener.address) as started:
            record.write(started.embedded)
            started.go()
            listener.wait(started.embedded.pid, timeout)
            return started.embedded
    except (OSError, Unavailable) as error:
        raise Unavailable(f"cannot boot a private systemd: {error}{_tail(wanted.log)}") from error


def _refuse_second(paths: Paths) -> None:
    other = find(paths)
    if other is not None:
        raise Conflict(
            f"cannot boot a private systemd: one runs already for {paths.runtime_dir} (pid {other.pid}); "
            "use it, or stop it with `strata-ctl embedded stop`"
        )


def _end(embedded: Embedded, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while embedded.alive() and time.monotonic() < deadline:
        # Said again now and then: a PID 1 that is still starting hears nothing but SIGKILL (pid_namespaces(7)).
        _signal_and_wait(embedded, _HALT, 1.0)
    if embedded.alive():
        _signal_and_wait(embedded, signal.SIGKILL, 10.0)
    # What `run` put beside it, and a PID 1 that never got as far as the record.
    cgroups.kill(embedded.cgroups)
    _remove(embedded, 10.0)


def _signal_and_wait(embedded: Embedded, number: int, timeout: float) -> None:
    with contextlib.suppress(ProcessLookupError), _held(embedded.pid) as pidfd:
        # Looked at again now that the pidfd holds it, so that no later process of the same number is hit.
        if embedded.alive():
            signal.pidfd_send_signal(pidfd, number)
            ready.gone(pidfd, timeout)


@contextlib.contextmanager
def _held(pid: int) -> Iterator[int]:
    """A pidfd, for which no later process of the same number can be taken. Raises ProcessLookupError."""
    pidfd = os.pidfd_open(pid)
    try:
        yield pidfd
    finally:
        os.close(pidfd)


def _remove(embedded: Embedded, timeout: float) -> None:
    left = cgroups.remove(embedded.cgroups, timeout)
    if left:
        raise Unavailable(_stuck([str(cgroup) for cgroup in embedded.cgroups if cgroup in left]))
    for path in _files(embedded.runtime_dir)[1:]:  # the lock file goes with the lock
        path.unlink(missing_ok=True)
    others = plan.instances()
    mountpoints.give_back(others)
    if not others:
        scratch.sweep()
    _remove_made(embedded.made)


def _stuck(places: Sequence[str]) -> str:
    more = f" and in {len(places) - 1} more hierarchies" if len(places) > 1 else ""
    return (
        f"cannot stop the private systemd: processes stay in {places[0]}{more}; end those that the files cgroup.procs "
        "in there name, then run `strata-ctl down` again"
    )


def _remove_made(made: Sequence[Path]) -> None:
    for path in reversed(made):
        # In use by then, or already gone: then it is not ours to remove.
        with contextlib.suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()


def _files(runtime_dir: Path) -> tuple[Path, ...]:
    found = record.path_of(runtime_dir)
    return (lock.path_of(runtime_dir), found, found.with_suffix(".new"), plan.log_of(runtime_dir))


def _above(runtime_dir: Path, made: Sequence[Path]) -> list[Path]:
    """What can go only when the lock is no longer held, because the lock file lies in it."""
    return [path for path in made if runtime_dir.is_relative_to(path)]


def _leftover(paths: Paths) -> Embedded:
    """What a crash before the record was written may have left; the names follow from the runtime directory."""
    return Embedded(paths.runtime_dir, paths.state_dir, 0, 0, plan.cgroups_of(paths), None, 0)


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()[-10:]
    except FileNotFoundError:
        return ""
    return "".join(f"\n  {line}" for line in lines)
