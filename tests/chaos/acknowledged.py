# SPDX-License-Identifier: MIT
"""What clients were told is done, and what may be true besides.

Each thing has the set of values that it may have now. An answer leaves one; a call that got none leaves what was and
what was asked for; a fault whose loss the documents announce adds what that loss looks like. To look at a thing
settles it: it is then what was seen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Key = tuple[Hashable, ...]
ABSENT = None


@dataclass
class Entry:
    """One thing; `history` is how it came to be what it is."""

    possible: list[Any]
    history: list[str] = field(default_factory=list)

    def may_be(self, value: Any) -> None:
        if value not in self.possible:
            self.possible.append(value)


class Ledger:
    """Things by kind and key. Each key is written by one client alone; `step` is told by whoever walks."""

    def __init__(self) -> None:
        self.step = 0
        self._things: dict[str, dict[Key, Entry]] = {}

    def of(self, kind: str) -> dict[Key, Entry]:
        """All things of a kind."""
        return dict(self._things.get(kind, {}))

    def sure(self, kind: str, key: Key, value: Any) -> bool:
        """Whether a thing can only have this value."""
        entry = self._things.get(kind, {}).get(key)
        return entry is not None and entry.possible == [value]

    @contextlib.contextmanager
    def doing(self, kind: str, key: Key, value: Any, note: str = "") -> Iterator[None]:
        """The body asks for `value` and returns when it was told that it is so."""
        self.maybe(kind, key, value, f"asked: {note or value}")
        yield
        self.done(kind, key, value, note)

    def maybe(self, kind: str, key: Key, value: Any, note: str) -> None:
        """It may be this now; what never was is absent."""
        entry = self._things.setdefault(kind, {}).setdefault(key, Entry([ABSENT]))
        entry.may_be(value)
        self._note(entry, note)

    def done(self, kind: str, key: Key, value: Any, note: str = "") -> None:
        """Somebody was told that it is this."""
        entry = self._things.setdefault(kind, {}).setdefault(key, Entry([value]))
        entry.possible = [value]
        self._note(entry, f"told: {note or value}")

    def excuse(self, kind: str, value: Any, why: str, match: Callable[[Key], bool] = lambda _key: True) -> None:
        """All things of a kind that match may be `value` as well: the documents say that this is lost."""
        for key, entry in self.of(kind).items():
            if match(key):
                entry.may_be(value)
                self._note(entry, f"excused: {why}")

    def forget(self, kind: str, match: Callable[[Key], bool]) -> None:
        """Know nothing of these any more."""
        for key in [key for key in self.of(kind) if match(key)]:
            self._things[kind].pop(key, None)

    def judge(self, kind: str, seen: Mapping[Key, Any]) -> list[str]:
        """What is not as somebody was told; all things of the kind are then what was seen."""
        wrong = []
        for key, entry in self.of(kind).items():
            value = seen.get(key, ABSENT)
            if not any(_same(value, possible) for possible in entry.possible):
                wrong.append(
                    f"{kind} {key} is {value!r}, may be {entry.possible!r}; history: {'; '.join(entry.history)}"
                )
        return wrong

    def settle(self, kind: str, seen: Mapping[Key, Any]) -> None:
        """All things of the kind are what was seen; what is not there is forgotten."""
        for key, entry in self.of(kind).items():
            entry.possible = [seen.get(key, ABSENT)]
            if entry.possible == [ABSENT]:
                self._things[kind].pop(key)

    def _note(self, entry: Entry, what: str) -> None:
        entry.history = [*entry.history[-7:], f"step {self.step} {what}"[:160]]


def _same(value: Any, possible: Any) -> bool:
    return bool(possible(value)) if callable(possible) else bool(value == possible)
