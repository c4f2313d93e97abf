# SPDX-License-Identifier: MIT
"""The served OpenAPI document against a running Strata with real sandboxes: the short form of conformance.py."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import conformance
import machine
import pytest

sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "live"))  # the ring whose helper this is
from node import Node, running

ACTIONS = ["create", "list", "close", "exec", "run", "files", "shell", "stats"]


@pytest.fixture(scope="module")
def strata() -> Iterator[Node]:
    """A Strata of our own: sessions are opened and closed by it as inputs say."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for a systemd of its own")
    with machine.private() as manager, running(manager) as node:
        yield node


@pytest.mark.timeout(180)
def test_answers_of_all_operations_are_as_the_document_tells(strata: Node) -> None:
    issued = strata.issue(service="sandbox", actions=ACTIONS, owner=conformance.OWNER)
    server = conformance.Server(f"http://{strata.address}", issued.token)
    counts = server.fuzz(examples=1, seed=1)
    told = {
        f"{verb.upper()} {path}"
        for path, verbs in server.document["paths"].items()
        for verb in verbs
        if not (verb == "get" and any(part in path for part in conformance.ENDLESS))
    }
    assert set(+counts) == told
