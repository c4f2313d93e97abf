# SPDX-License-Identifier: MIT
"""From outside to where a session's root is put together: the layers as they are on the disk, and the merged tree.

The process that waits for bubblewrap's end has stayed in the mount namespace in which the root was built (bwrap(1)
makes one of its own for the sandbox). A worker joins that one, for the disk must not be mounted a second time, and
leaves it at once for a copy, so that what it mounts is seen by nobody.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from strata.errors import NotFound
from strata.sandbox.files.overlay import MARKS, Marks
from strata.sandbox.launcher import joining, kernel
from strata.sandbox.layers.plan import DISK, ROOT, STAGE, Plan, read

_LOWER: Final = f"{STAGE}/upper"  # a way to the disk that a worker does not need: what is below is mounted over it


class Stage(NamedTuple):
    """Open directories: the upper layer, all below it as one tree, and both together. Ids in the upper one are those
    inside; in the others, root inside is `uid_base` or `root_base`."""

    upper: int
    lower: int
    root: int
    marks: Marks
    uid_base: int
    root_base: int


@contextmanager
def entered(arguments: dict[str, Any]) -> Iterator[Stage]:
    """Join the stage of the session that `init_pid` is the first process of, and which `root` was the plan of."""
    plan = read(arguments["root"])
    _join(_parent(arguments["init_pid"]), plan)
    top = f"{DISK}/upper"
    merged = plan.driver != "none"  # then the disk holds all that is kept
    with _directory(top) as upper, _directory(_lower(plan)) as lower, _directory(ROOT if merged else top) as root:
        yield Stage(upper, lower, root, _marks(plan), plan.uid_base, plan.uid_base if merged else 0)


@contextmanager
def _directory(path: str) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _parent(pid: int) -> int:
    """Who made a process. Raises NotFound when it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError) as error:
        raise NotFound("session not found: it has just ended") from error


def _join(pid: int, plan: Plan) -> None:
    pidfd = os.pidfd_open(pid)
    if plan.mapped:
        kernel.setns(pidfd, kernel.NEWNS)
    else:
        joining.enter(pidfd, joining.FILES)  # of one user, who may mount only where he is root
    os.close(pidfd)
    kernel.unshare(kernel.NEWNS)
    kernel.make_private()


def _lower(plan: Plan) -> str:
    """Where all lower layers are one tree."""
    names = [f"layer{number}/upper" for number in range(len(plan.layers))]
    names += ["base", "places"] if plan.base else ["skeleton"]
    if len(names) == 1:
        return f"{STAGE}/{names[0]}"  # an overlay takes two at least
    os.chdir(STAGE)
    options = f"lowerdir={':'.join(names)}" + ("" if plan.mapped else ",userxattr")
    kernel.mount("overlay", _LOWER, "overlay", kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV, options)
    return _LOWER


def _marks(plan: Plan) -> Marks:
    driver = "fuse" if plan.driver == "fuse" else "kernel"
    return MARKS[driver if plan.mapped else f"{driver}-user"]
