# SPDX-License-Identifier: MIT
"""The load: threads that each do one kind of work over and over, and the chores of an operator."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import soak_core
import soak_guests
from soak_book import Book
from soak_core import Core
from soak_guests import Guests
from soak_place import Place


class Work(NamedTuple):
    """What one thread does; `pause` in seconds on the average between two visits."""

    run: Callable[[Any, random.Random], None]
    pause: float
    threads: int = 1
    expected: frozenset[str] = frozenset()


GUESTS = (
    Work(soak_guests.commands, 0.3, 2),
    Work(soak_guests.runs, 0.8),
    Work(soak_guests.files, 0.8),
    Work(soak_guests.terminals, 0.8),
    Work(soak_guests.snapshots, 1.5),
    # Its end may come between two questions.
    Work(soak_guests.ends, 1.0, expected=frozenset({"NOT_FOUND", "CONFLICT", "UNAVAILABLE"})),
    Work(soak_guests.frozen, 1.5),
    Work(soak_guests.http, 0.6),
    Work(soak_guests.websocket, 0.8),
    Work(soak_guests.grpc, 0.6),
    Work(soak_guests.mcp, 0.8),
)
CORE = (
    Work(soak_core.tokens, 0.2, 2),
    Work(soak_core.expiry, 1.0),
    # On a busy machine a lease may run out before it is asked for.
    Work(soak_core.registry, 0.4, expected=frozenset({"NOT_FOUND"})),
    Work(soak_core.services, 3.0),
    Work(soak_core.looks, 5.0),
)


class Chore(NamedTuple):
    """Done at these parts of the whole time; `disturbs` when errors of those who are interrupted are right."""

    run: Callable[[Core], None]
    at: tuple[float, ...]
    disturbs: bool = True


CHORES = (
    # Close together, so that what is followed lives long enough in between to show where it tends.
    Chore(soak_core.restart_everything, (0.03, 0.36, 0.68)),
    Chore(soak_core.restart_rooms, (0.06,)),
    Chore(soak_core.reload_systemd, tuple(number / 20 for number in range(3, 20)), disturbs=False),
)
SHORT_CHORES = (
    Chore(soak_core.restart_everything, (0.03,)),
    Chore(soak_core.restart_rooms, (0.08,)),
    Chore(soak_core.reload_systemd, (0.35, 0.65, 0.95), disturbs=False),
)
SHORT = 1800.0
"""Seconds; a load that is shorter has all its restarts at the beginning."""


class Load:
    """Make it, `run` it, and it is over."""

    def __init__(self, place: Place, book: Book, seed: int, leak: int = 0) -> None:
        self.book, self._seed = book, seed
        self.core = Core(place, book)
        self.guests = Guests(place.node, book, seed, leak)
        self._over = threading.Event()
        self.died: list[BaseException] = []

    def prime(self) -> None:
        """Each kind of work once, so that all that is made once is there."""
        dice = random.Random(self._seed)
        for shared, works in ((self.guests, GUESTS), (self.core, CORE)):
            for work in works:
                work.run(shared, dice)

    def run(self, seconds: float, watch: Callable[[], None], every: float) -> None:
        """The load, for so long; `watch` is called every so many seconds from this thread."""
        threads = [
            threading.Thread(target=self._again, args=(work, shared, number), name=f"{work.run.__name__} {number}")
            for shared, works in ((self.guests, GUESTS), (self.core, CORE))
            for work in works
            for number in range(work.threads)
        ]
        threads.append(threading.Thread(target=self._chores, args=(seconds,), name="chores"))
        for thread in threads:
            thread.start()
        try:
            while self.book.now() < seconds and not self.died:
                watch()
                self._over.wait(every)
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def end(self) -> None:
        self.guests.end()

    def _again(self, work: Work, shared: Any, number: int) -> None:
        name = work.run.__name__
        dice = random.Random(f"{self._seed} {name} {number}")
        while not self._over.is_set():
            since = self.book.now()
            try:
                with self.book.timed(f"visit: {name}"):
                    work.run(shared, dice)
            except Exception as error:  # noqa: BLE001  the book judges what it was
                self.book.trouble(name, since, error, work.expected)
            self._over.wait(dice.uniform(0.0, 2.0 * work.pause))

    def _chores(self, seconds: float) -> None:
        chores = SHORT_CHORES if seconds < SHORT else CHORES
        timetable = [(at, one) for one in chores for at in one.at]
        for part, chore in sorted(timetable, key=lambda pair: pair[0]):
            while self.book.now() < part * seconds:
                if self._over.wait(0.2):
                    return
            self._chore(chore)

    def _chore(self, chore: Chore) -> None:
        since = self.book.now()
        try:
            if chore.disturbs:
                with self.book.disturbance():
                    chore.run(self.core)
            else:
                chore.run(self.core)
        except Exception as error:  # noqa: BLE001  as above
            self.book.trouble(chore.run.__name__, since, error, frozenset())
