# SPDX-License-Identifier: MIT
"""Leftovers on purpose: one of each kind that an invariant is to find."""

from __future__ import annotations

import contextlib
import functools
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

from world import World


class Plant(NamedTuple):
    """What is planted while `of` lasts, and the invariant that must name it."""

    invariant: str
    of: Callable[[World], AbstractContextManager[None]]


@contextlib.contextmanager
def file(world: World) -> Iterator[None]:
    path = world.paths.state_dir / "forgotten"
    path.write_text("x")
    yield
    path.unlink()


@contextlib.contextmanager
def directory(kind: str, world: World) -> Iterator[None]:
    """Of a session, or of a snapshot, that nobody knows."""
    path = world.paths.state_dir / "sandbox" / kind / "nobody/gone"
    path.mkdir(parents=True)
    yield
    path.rmdir()
    path.parent.rmdir()


@contextlib.contextmanager
def cgroup(world: World) -> Iterator[None]:
    path = world.embedded.cgroups[-1] / "strata.slice/strata-gone.service"
    path.mkdir()
    yield
    path.rmdir()


@contextlib.contextmanager
def process(world: World) -> Iterator[None]:
    world.hand.run("systemd-run", "--unit=strata-gone.service", "--slice=strata.slice", "sleep", "1000")
    yield
    world.systemctl("stop", "strata-gone.service")


@contextlib.contextmanager
def still(world: World) -> Iterator[None]:
    """A process that was stopped and forgotten."""
    one = next(one for one in world.processes() if one.role == "journald")
    one.signal(signal.SIGSTOP)
    yield
    one.signal(signal.SIGCONT)


@contextlib.contextmanager
def mount(world: World) -> Iterator[None]:
    where = str(world.paths.state_dir / "sandbox")
    world.hand.run("mount", "--bind", where, where)
    yield
    world.hand.run("umount", where)


@contextlib.contextmanager
def stopped(world: World) -> Iterator[None]:
    """A room that is not there, with its socket, so that nobody starts it."""
    units = ("strata-fs.socket", "strata-fs.service")
    world.systemctl("stop", *units)
    yield
    world.mend()


@contextlib.contextmanager
def scope(world: World) -> Iterator[None]:
    """Of no session; the room looks for such only when it starts."""
    unit = "--unit=strata-sandbox-nobody-gone"
    world.hand.run("systemd-run", "--scope", "--quiet", unit, "sh", "-c", "sleep 1000 & exit 0")
    yield
    world.systemctl("stop", "strata-sandbox-nobody-gone.scope")


PLANTS = (
    Plant("no orphan file", file),
    Plant("sessions agree with units, directories and disks", functools.partial(directory, "sessions")),
    Plant("sessions agree with units, directories and disks", scope),
    Plant("snapshots agree with directories", functools.partial(directory, "snapshots")),
    Plant("no orphan cgroup", cgroup),
    Plant("no orphan process", process),
    Plant("no orphan process", still),
    Plant("no orphan mount", mount),
    Plant("the next request works", stopped),
)
