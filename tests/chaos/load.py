# SPDX-License-Identifier: MIT
"""A mixed load: clients in threads, each with verbs by weight and a chance of its own, from the seed and the step."""

from __future__ import annotations

import os
import random
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # programs are spawned while its threads run

import grpc
from acknowledged import Ledger
from websockets.exceptions import WebSocketException
from world import World

from strata.errors import StrataError

REFUSED = (StrataError, OSError, HTTPException, WebSocketException, grpc.RpcError)
"""What a client may get instead of an answer while something is broken."""
PAUSE_SECONDS = 0.03
Verb = Callable[["Caller"], None]


class NotNow(Exception):
    """What a verb works on is not there."""


class WrongAnswer(Exception):
    """An answer that may not be, whatever is broken; but for faults that things of `kind` may be lost by."""

    def __init__(self, what: str, kind: str) -> None:
        super().__init__(what)
        self.kind = kind


@dataclass
class Caller:
    """What a verb works with. `kept` is what its client remembers from step to step."""

    world: World
    ledger: Ledger
    chance: random.Random
    kept: dict[Any, Any]

    def expect(self, right: bool, what: str, kind: str = "") -> None:
        """Raises WrongAnswer unless `right`."""
        if not right:
            raise WrongAnswer(what, kind)


@dataclass
class Client:
    """`verbs` with their weights; `kept` outlives steps."""

    name: str
    verbs: Sequence[tuple[int, Verb]]
    kept: dict[Any, Any] = field(default_factory=dict)


class Load:
    """All clients at work, from the start of a step to its `end`."""

    def __init__(self, world: World, ledger: Ledger, clients: Sequence[Client], seed: str) -> None:
        self._world, self._ledger = world, ledger
        self.wrong: list[tuple[str, str]] = []  # kind, and what
        self.calls = self.refusals = 0
        self.refused: set[str] = set()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(one, f"{seed}/{one.name}")) for one in clients]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Returns when each client has the answer to what it asked last."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, client: Client, seed: str) -> None:
        caller = Caller(self._world, self._ledger, random.Random(seed), client.kept)
        weights, verbs = zip(*client.verbs, strict=True)
        while not self._stop.is_set():
            verb = caller.chance.choices(verbs, weights)[0]
            self._stop.wait(caller.chance.uniform(0, PAUSE_SECONDS))
            self.calls += 1
            try:
                verb(caller)
            except NotNow:
                self.calls -= 1
            except REFUSED as error:
                self.refusals += 1
                self.refused.add(f"{client.name} {verb.__name__}: {type(error).__name__}: {str(error)[:120]}")
                self._stop.wait(0.02)  # a client that is refused does not ask again at once
            except WrongAnswer as wrong:
                self.wrong.append((wrong.kind, f"{client.name} {verb.__name__}: {wrong}"))
            except Exception:  # noqa: BLE001  whatever it is, it is told
                self.wrong.append(("", f"{client.name} {verb.__name__}: {traceback.format_exc(limit=-3)}"))
                self._stop.wait(0.02)
