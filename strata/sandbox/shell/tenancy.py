# SPDX-License-Identifier: MIT
"""The shell that a session has now, and what those before it and their commands left behind.

What a command leaves running in the background keeps its cgroup and its pipes; the shell moves to new ones. So a
time-out never hits the background jobs of earlier commands, and their output never gets into that of later ones.
"""

from __future__ import annotations

from strata import durable
from strata.sandbox.cgroup import Group
from strata.sandbox.descriptor_store import DescriptorStore
from strata.sandbox.inotify import Inotify
from strata.sandbox.session import Session
from strata.sandbox.shell import finding, resident
from strata.sandbox.shell.dialect import dialect
from strata.sandbox.shell.resident import Resident
from strata.sandbox.shell.slot import Slot


class Tenancy:
    """Owns the shell, its cgroups and its pipes, and those of background jobs."""

    def __init__(self, session: Session, inotify: Inotify, store: DescriptorStore, inside: str) -> None:
        """`inside` is where the session's exchange directory is for those in it."""
        self._session, self._inotify, self._store, self._inside = session, inotify, store, inside
        self.current: Resident | None = None
        self.lost = False  # there was a shell, with a state that is gone
        self._serial = finding.last_serial(session)
        self._groups: list[Group] = []  # of background jobs
        self._slots: set[Slot] = set()  # theirs, read and forgotten

    @property
    def background(self) -> bool:
        """Whether background jobs run that the shell has moved away from."""
        self.sweep()
        return bool(self._groups)

    def adopt(self) -> None:
        """Take back what outlived the room. The shell is not ready before it has come back and moved."""
        found = finding.adopt(self._session, self._store, self._inside, self._inotify)
        self.current = found.resident
        self._groups += found.groups
        for slot in found.slots:
            self._retire(slot)

    async def start(self) -> Resident:
        """A new shell. Raises StrataError."""
        group, name = self._group()
        spoken = dialect(self._session.record.shell)
        try:
            with durable.told(f"start a shell in {self._session.key.label}"):
                found = await resident.start(self._session, name, self._inside, group, spoken, self._inotify)
        except BaseException:
            self._groups.append(group)
            raise
        self.current, self.lost = found, False
        self._remember(found)
        finding.keep(self._store, self._session, found)
        return found

    async def move(self, current: Resident) -> None:
        """Leave cgroup and pipes to what runs in the background. Raises StrataError or OSError, and the shell is of no
        use then."""
        group, _ = self._group()
        old_slot, old_group = current.slot, current.group
        slot = Slot(current.place.fd, self._serial, self._inotify)
        try:
            await current.move(slot, group)
        except BaseException:
            slot.close(remove=True)
            self._groups.append(group)
            raise
        self._remember(current)
        self._retire(old_slot)
        self._groups.append(old_group)

    def bury(self, current: Resident) -> None:
        """The shell is gone; what it left running is not."""
        self.lost, self.current = True, None
        finding.forget(self._store, self._session, current)
        self._retire(current.slot)
        self._groups.append(current.group)
        current.close()
        self.sweep()

    def sweep(self) -> None:
        """Remove the cgroups of background jobs that ended."""
        self._groups = [group for group in self._groups if not group.remove()]

    def let_go(self, ends: bool) -> None:
        """Close what is open; everything goes on, unless the session `ends`."""
        if self.current:
            if ends:
                finding.forget(self._store, self._session, self.current)
            self.current.slot.close(remove=False)
            self.current.close()
            self.current = None
        for slot in self._slots:
            slot.close(remove=False)
        self._slots.clear()

    def _remember(self, current: Resident) -> None:
        with durable.told(f"remember the shell of {self._session.key.label}"):
            finding.note(self._session, current)

    def _group(self) -> tuple[Group, str]:
        self._serial += 1
        name = f"shell-{self._serial}"
        return self._session.groups.scope.make(name), name

    def _retire(self, slot: Slot) -> None:
        self._slots.add(slot)
        slot.retire(self._slots.discard)
