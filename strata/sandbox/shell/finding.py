# SPDX-License-Identifier: MIT
"""Finding a session's shell again after the room was restarted.

What must be remembered lies beside the session's record, out of reach of those inside: which process it is, and which
pipes it writes to. Everything else is asked of the kernel or of the shell itself.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from strata.errors import UNREADABLE, Unavailable
from strata.sandbox.cgroup import Group
from strata.sandbox.children import Child, watch
from strata.sandbox.descriptor_store import DescriptorStore
from strata.sandbox.descriptor_store import name as stored_name
from strata.sandbox.inotify import Inotify
from strata.sandbox.record import start_of
from strata.sandbox.session import Session
from strata.sandbox.shell.dialect import dialect
from strata.sandbox.shell.exchange import subdirectory
from strata.sandbox.shell.resident import Place, Resident
from strata.sandbox.shell.slot import Slot
from strata.sandbox.unkept import Unkept

log = logging.getLogger(__name__)
FILE = "shell.json"
_KIND, _ROLE = "shell", "status"
_NAME = re.compile(r"shell-(\d{1,9})")
_OUT = re.compile(r"out-(\d{1,9})")


class _Known(msgspec.Struct, frozen=True):
    directory: str
    slot: int
    pid: int
    start: int  # of the process: tells it from a later one of that number


class Found(NamedTuple):
    """What outlived the room: the shell, if it lives; pipes and cgroups of what commands left running."""

    resident: Resident | None
    slots: tuple[Slot, ...]
    groups: tuple[Group, ...]


def last_serial(session: Session) -> int:
    """The highest number that a shell or a cgroup of one has had; names are not used twice."""
    names = [group.tree.name for group in session.groups.scope.children()] + os.listdir(session.exchange_fd)
    return max((int(match[1]) for name in names if (match := _NAME.fullmatch(name))), default=0)


def note(session: Session, shell: Resident) -> None:
    """Remember it, for the next room. Raises OSError."""
    known = _Known(os.path.basename(shell.place.path), shell.slot.number, shell.pid, start_of(shell.pid))
    new = session.directory / f".{FILE}.new"
    new.write_bytes(msgspec.json.encode(known))
    new.replace(session.directory / FILE)


def keep(store: DescriptorStore, session: Session, shell: Resident) -> None:
    """Have systemd keep what its keeper will tell the shell's end by, if it has one. Raises ResourceExhausted."""
    if isinstance(shell.child, Child):
        store.push({_stored(session, shell): shell.child.status_fd})


def forget(store: DescriptorStore, session: Session, shell: Resident) -> None:
    """It has ended."""
    store.remove(_stored(session, shell))


def adopt(session: Session, store: DescriptorStore, inside: str, inotify: Inotify) -> Found:
    """What is there of a former room's."""
    stored = {number: kept[_ROLE] for number, kept in store.take(_KIND, session.key).items()}
    scope = session.groups.scope
    found = None
    known = _known(session)
    groups = [one for one in scope.children() if _NAME.fullmatch(one.tree.name)]
    # Not written down: the room may have ended between a move and its note of it.
    group = next((one for one in groups if known and known.pid in one.pids()), None)
    if known and group and _NAME.fullmatch(known.directory):
        try:
            found = _resident(session, known, inside, group, stored.pop(_number(known.directory), None), inotify)
        except (OSError, Unavailable) as error:
            log.warning("%s: its shell cannot be taken back: %s", session.key.label, error)
            group.kill()
    for number, fd in stored.items():
        os.close(fd)
        store.remove(stored_name(_KIND, session.key, number, _ROLE))
    own = found.group.tree if found else None
    slots = _slots(session, found.slot.number if found else 0, known.directory if known else "", inotify)
    return Found(found, tuple(slots), tuple(one for one in groups if one.tree != own))


def _known(session: Session) -> _Known | None:
    try:
        known = msgspec.json.decode((session.directory / FILE).read_bytes(), type=_Known)
    except (OSError, *UNREADABLE):
        return None
    return known if start_of(known.pid) == known.start else None


def _resident(
    session: Session, known: _Known, inside: str, group: Group, status: int | None, inotify: Inotify
) -> Resident:
    with contextlib.ExitStack() as undo:
        child = _child(known.pid, status)
        undo.callback(child.close)
        fd = subdirectory(session.exchange_fd, known.directory)
        undo.callback(os.close, fd)
        slot = Slot(fd, known.slot, inotify)
        undo.callback(slot.close, remove=False)
        place = Place(fd, f"{inside}/{known.directory}")
        found = Resident(place, dialect(session.record.shell), group, child, inotify)
        undo.pop_all()
    try:
        found.taken_back(known.pid, slot)
    except BaseException:
        slot.close(remove=False)
        found.close()
        raise
    return found


def _child(pid: int, status: int | None) -> Child | Unkept:
    """By its keeper's word, which only the service manager can have kept; else it has none, as most, or its word is
    lost: then the kernel may tell."""
    return Unkept(pid, os.pidfd_open(pid)) if status is None else watch(None, status)


def _slots(session: Session, current: int, current_directory: str, inotify: Inotify) -> Iterator[Slot]:
    """Pipes of background jobs; those that nobody has open any more are at their end at once."""
    for directory in filter(_NAME.fullmatch, os.listdir(session.exchange_fd)):
        try:
            fd = subdirectory(session.exchange_fd, directory)
        except OSError:  # in user mode those inside may have put anything there
            continue
        for match in filter(None, map(_OUT.fullmatch, os.listdir(fd))):
            if (directory, int(match[1])) != (current_directory, current):
                with contextlib.suppress(OSError):
                    yield Slot(fd, int(match[1]), inotify)
        os.close(fd)


def _number(directory: str) -> str:
    return directory.rpartition("-")[2]


def _stored(session: Session, shell: Resident) -> str:
    return stored_name(_KIND, session.key, _number(shell.place.path), _ROLE)
