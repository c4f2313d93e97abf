# SPDX-License-Identifier: MIT
"""docs/protocol.md against a running Strata: what each method answers, and whom it lets call it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from node import NOBODY, READER, Node, until

from strata.fs import handlers as fs
from strata.identity import handlers as identity
from strata.registry import handlers as registry
from strata.sockets.method import Method
from strata.supervisor import handlers as supervisor
from strata.types import Access

TOLD = tomllib.loads((Path(__file__).resolve().parents[2] / "docs/methods.toml").read_text(encoding="utf-8"))
METHODS = [*registry.METHODS, *identity.METHODS, *fs.METHODS, *supervisor.METHODS]
BRIEF = {"supervisor.svc.describe": "supervisor.svc.list"}
"""A result that has the fields of another's rows, too."""


def told(method: str) -> tuple[set[str], set[str]]:
    """Fields that the page promises always, and all that it names."""
    always, named = set(), set()
    for field, _, meaning in TOLD[method]["result"]:
        words = set(re.findall(r"`(\w+)`", field))
        named |= words
        if not meaning.startswith(("only", "why it is not")):
            always |= words
    return always, named


def check(method: str, result: dict[str, Any]) -> None:
    always, named = told(method)
    if method in BRIEF:
        (_, _, rows) = TOLD[BRIEF[method]]["result"][0]
        named |= set(re.findall(r"`(\w+)`", rows))
    assert always <= result.keys() <= named, method


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_method_answers_the_fields_that_the_page_says(disturbed: Node, method: Method, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    rights = ["fs.open", "fs.read", "fs.write", "fs.list", "fs.stat"]
    params: dict[str, Any] = {"service": "fs", "rights": rights, "path_prefix": str(tmp_path)}
    held = disturbed.issue(**params)
    opened = disturbed.call("fs.open", {"path": "file"}, token=held.token)["handle"]
    disturbed.call("registry.register", {"service": "page", "endpoint": "tcp://localhost:1", "lease_seconds": 60})
    given: dict[str, dict[str, Any]] = {
        "registry.register": {"service": "page", "endpoint": "/x"},
        "registry.unregister": {"service": "page"},
        "registry.resolve": {"service": "page"},
        "identity.issue": {**READER, "path_prefix": "/tmp"},
        "identity.attenuate": {"token": held.token, "rights": ["fs.open"]},
        "identity.revoke": {"cap_id": held.cap_id},
        "identity.introspect": {"token": held.token},
        "fs.open": {"path": "file"},
        "fs.read": {"handle": opened},
        "fs.write": {"path": "file", "data": "y"},
        "fs.list": {"path": "."},
        "fs.stat": {"path": "file"},
        "fs.close": {"handle": opened},
        "fs.revoke": {"cap_id": "0" * 32},
        "supervisor.svc.describe": {"name": "fs"},
        "supervisor.svc.start": {"name": "fs"},
        "supervisor.svc.stop": {"name": "fs"},
        "supervisor.svc.restart": {"name": "fs"},
        "supervisor.svc.reset": {"name": "fs"},
        "supervisor.events": {"follow": False},
    }
    if method.name == "supervisor.svc.start":
        disturbed.call("supervisor.svc.stop", {"name": "fs"})
    token = held.token if method.access is Access.TOKEN else ""
    result = disturbed.call(method.name, given.get(method.name, {}), token=token)
    check(method.name, result)
    if method.name == "identity.rotate":  # other tests read the published key
        (key,) = (row["key"] for row in result["keys"] if row["version"] == "v2.public" and row["current"])
        until(lambda: disturbed.manager.paths.identity_pub.read_text() == key, "the new key is published")


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_stranger_gets_no_further_than_the_page_says(strata: Node, method: Method) -> None:
    """Code 2 before anything else where a token or an operator is needed; never code 2 where anybody may call."""
    reply = strata.ask(method.name, {"follow": False} if method.name == "supervisor.events" else {}, uid=NOBODY)
    refused = not reply["ok"] and reply["error"]["code"] == 2
    # Anybody may revoke what he holds, so that the method is open and its handler asks for the token.
    assert refused == (method.access is not Access.OPEN) or method.name == "identity.revoke"
