# SPDX-License-Identifier: MIT
"""docs/protocol.md against a running Strata: what each method of sandboxes answers."""

from __future__ import annotations

import os
import re
import socket
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from node import NOBODY, Node

from strata.sandbox import handlers
from strata.sandbox.permission import GROUPS
from strata.sockets.client import Client
from strata.sockets.method import Method

TOLD = tomllib.loads((Path(__file__).resolve().parents[2] / "docs/methods.toml").read_text(encoding="utf-8"))
METHODS = [method for method in handlers.METHODS if method.name != "sandbox.close"]
RUN = "0123456789abcdef"
PLACE = {"owner": "page", "session": "one"}
FURTHER: dict[str, dict[str, Any]] = {
    "create": {"session": "two"},
    "exec": {"command": "true"},
    "run": {"argv": ["true"]},
    "output": {"id": RUN},
    "signal": {"id": RUN, "signal": "CONT"},
    "kill": {"id": RUN},
    "wait": {"id": RUN, "wait_ms": 0},
    "attach": {"terminal": "other", "command": "exit 3"},
    "resize": {"rows": 10, "cols": 20},
    "put": {"path": "new", "data": "x"},
    "get": {"path": "file"},
    "files": {"path": "."},
    "list_files": {"path": "."},
    "stat": {"path": "file"},
    "mkdir": {"path": "directory"},
    "move": {"from": "file", "to": "moved"},
    "remove": {"path": "file"},
    "watch": {"path": "."},
    "snapshot": {"name": "kept"},
    "remove_snapshot": {"name": "before"},
    "fork": {"to_session": "two"},
}
"""Parameters beside the session."""


class Room:
    """The sandbox room, over its socket."""

    def __init__(self, node: Node) -> None:
        self._path = node.manager.paths.socket("sandbox")

    def first(self, name: str, further: dict[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        """What a method answers, of a stream the first frame."""
        with Client(self._path, timeout=30.0) as client:
            reply = next(client.replies(f"sandbox.{name}", PLACE | further, descriptors=descriptors))
        assert reply["ok"], reply
        found: dict[str, Any] = reply["result"]
        return found


@pytest.fixture
def room(strata: Node) -> Iterator[Room]:
    """A session with a file, a run, a terminal, and a snapshot; nothing of it is left."""
    found = Room(strata)
    strata.call("sandbox.exec", PLACE | {"command": "echo x > file"})
    strata.call("sandbox.run", PLACE | {"argv": ["sleep", "60"], "background": True, "id": RUN})
    strata.call("sandbox.snapshot", PLACE | {"name": "before"})
    ours, theirs = socket.socketpair()
    with ours, theirs:
        found.first("attach", {}, [theirs.fileno()])
    yield found
    for one in strata.call("sandbox.list", {"owner": "page"})["sessions"]:
        strata.call("sandbox.close", {"owner": "page", "session": one["session"]})
    for one in strata.call("sandbox.snapshots", {"owner": "page"})["snapshots"]:
        strata.call("sandbox.remove_snapshot", {"owner": "page", "name": one["name"]})


def told(method: str) -> tuple[set[str], set[str]]:
    """Fields that the page promises always, and all that it names, also by naming another method."""
    always, named = set(), set()
    for field, _, meaning in TOLD[method]["result"]:
        words = set(re.findall(r"`(\w+)`", field))
        if not words:
            for other in re.findall(r"`(sandbox\.\w+)`", meaning):
                named |= told(other)[1]
        named |= words | ({"path_b64"} if "path" in words else set())
        if not meaning.startswith("only"):
            always |= words
    return always, named


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_method_answers_the_fields_that_the_page_says(room: Room, method: Method) -> None:
    name = method.name.removeprefix("sandbox.")
    ours, theirs = socket.socketpair()
    reader, writer = os.pipe()
    try:
        passed = {"attach": [theirs.fileno()], "export": [writer]}.get(name, [])
        further = FURTHER.get(name, {}) | ({"path": "/root"} if name == "export" else {})
        result = room.first(name, further, passed)
    finally:
        for fd in (reader, writer):
            os.close(fd)
        ours.close()
        theirs.close()
    always, named = told(method.name)
    assert always <= result.keys() <= named, (sorted(always - result.keys()), sorted(result.keys() - named))


@pytest.mark.parametrize("method", handlers.METHODS, ids=lambda method: method.name)
def test_a_stranger_is_asked_for_a_token(strata: Node, method: Method) -> None:
    reply = strata.ask(method.name, PLACE, uid=NOBODY)
    assert not reply["ok"]
    assert reply["error"]["code"] == 2


def test_each_action_permits_the_methods_of_its_group_and_no_other(strata: Node) -> None:
    path = strata.manager.paths.socket("sandbox")
    ours, theirs = socket.socketpair()
    with ours, theirs, Client(path, timeout=30.0) as client:
        for action in sorted(set(GROUPS.values())):
            token = strata.issue(service="sandbox", actions=[action], owner="page").token
            for name, group in GROUPS.items():
                params = {"owner": "other", "session": "s", **FURTHER.get(name, {})}
                passed = [theirs.fileno()] if name == "attach" else []
                reply = client.exchange(f"sandbox.{name}", params, token, descriptors=passed)
                message = reply.get("error", {}).get("message", "")
                assert ("not permitted" in message) == (action not in (group, name)), (action, name, message)
