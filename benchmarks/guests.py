# SPDX-License-Identifier: MIT
"""Sessions to measure: opened over HTTP as an owner of the benchmarks' own, and all closed at the end."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.door import Address, Caller, at_once, is_success
from benchmarks.place import Place

OWNER = "bench"
ACTIONS = ["create", "exec", "run", "files", "shell", "close", "list", "stats"]
AT_ONCE = 50
_INSIDE = Path(__file__).with_name("inside.py")


class Guests(NamedTuple):
    """The owner's sessions, and a connection to the door."""

    place: Place
    address: Address
    door: Caller

    def opening(self, name: str) -> bytes:
        """The request that opens a session."""
        return self.address.request("POST", "/api/sessions", {"owner": OWNER, "session": name})

    def closing(self, name: str) -> bytes:
        """The request that closes it."""
        return self.address.request("DELETE", f"/api/sessions/{OWNER}/{name}")

    def command(self, name: str, command: str) -> bytes:
        """The request that has its shell run a command."""
        return self.address.request("POST", f"/api/sessions/{OWNER}/{name}/exec", {"command": command})

    def open(self, *names: str) -> None:
        """Open sessions, some at a time. Raises RuntimeError with the first refusal."""
        self.all_of([self.opening(name) for name in names])

    def close(self, *names: str) -> None:
        """Close sessions, some at a time."""
        self.all_of([self.closing(name) for name in names])

    def all_of(self, requests: list[bytes]) -> None:
        """Have all these answered, some at a time. Raises RuntimeError with the first refusal."""
        for first in range(0, len(requests), AT_ONCE):
            for answer in at_once(self.address, requests[first : first + AT_ONCE], 120.0)[1]:
                if not is_success(answer):
                    raise RuntimeError(f"cannot measure: {answer[:500].decode(errors='replace')}")

    def execute(self, name: str, command: str) -> Any:
        """The result of a command."""
        return json.loads(self.door.round_trip(self.command(name, command)))

    def names(self) -> list[str]:
        """Sessions of the owner that are open. On a connection of its own: the door closes one that is long unused."""
        door = Caller(self.address)
        listed = door.round_trip(self.address.request("GET", f"/api/v1/sessions?owner={OWNER}"))
        door.close()
        return [row["session"] for row in json.loads(listed)["sessions"]]

    def stats(self) -> bytes:
        """The request that costs the server least."""
        return self.address.request("GET", "/api/stats")

    def lacks_room_for(self, count: int) -> str:
        """Why so many sessions cannot be opened here; "" when they can."""
        said = json.loads(self.door.round_trip(self.stats()))
        free = said["max_sessions"] - said["active_sessions"]
        return "" if free >= count else f"needs {count} sessions, and max_sessions leaves {free}"

    def inside(self, question: str, *arguments: str) -> Any:
        """What benchmarks/inside.py answers beside the systemd that runs Strata."""
        return json.loads(self.place.beside(sys.executable, str(_INSIDE), question, *arguments))


@contextlib.contextmanager
def guests(place: Place) -> Iterator[Guests]:
    """No session of the owner is there at the beginning, nor at the end."""
    params = {"service": "sandbox", "actions": ACTIONS, "owner": OWNER}
    token = place.call("identity", "identity.issue", params)["token"]
    host, _, port = place.door.rpartition(":")
    address = Address(host, int(port), token)
    found = Guests(place, address, Caller(address))
    try:
        found.close(*found.names())
        yield found
    finally:
        found.close(*found.names())
        found.door.close()
