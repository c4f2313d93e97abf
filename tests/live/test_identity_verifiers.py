# SPDX-License-Identifier: MIT
"""A revocation is not called confirmed while a service that stands still could accept the token when it goes on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest
from node import Node, until

pytestmark = pytest.mark.timeout(120)


@contextlib.contextmanager
def stopped(strata: Node, name: str) -> Iterator[None]:
    """Its process stands still; for at most three seconds, after which its watchdog may kill it."""
    pid = str(strata.services()[name]["pid"])
    assert strata.manager.run(["kill", "-STOP", pid]).returncode == 0
    try:
        yield
    finally:
        strata.manager.run(["kill", "-CONT", pid])
        strata.settle()
        strata.call("supervisor.svc.reset", {"name": name})


def test_a_service_that_stands_still_between_two_polls_is_counted_as_unconfirmed(strata: Node) -> None:
    """The first revocation answers its poll; it never gets to ask again."""
    first, second = strata.issue(), strata.issue()
    with stopped(strata, "fs"):
        assert strata.call("identity.revoke", {"cap_id": first.cap_id})["unconfirmed"] == 1
        time.sleep(0.2)
        assert strata.call("identity.revoke", {"cap_id": second.cap_id})["unconfirmed"] == 1
    until(lambda: not strata.ask("fs.list", {"path": "."}, token=second.token)["ok"], "fs has heard of it")


def test_a_service_that_stands_still_while_identity_restarts_is_counted_as_unconfirmed(strata: Node) -> None:
    issued, before = strata.issue(), strata.services()["identity"]["pid"]
    with stopped(strata, "fs"):
        assert strata.manager.run(["kill", "-KILL", str(before)]).returncode == 0
        until(lambda: strata.services()["identity"]["pid"] not in (0, before), "identity is back")
        assert strata.call("identity.revoke", {"cap_id": issued.cap_id})["unconfirmed"] == 1
    strata.call("supervisor.svc.reset", {"name": "identity"})
    until(lambda: not strata.ask("fs.list", {"path": "."}, token=issued.token)["ok"], "fs has heard of it")


def test_a_service_that_has_ended_is_waited_for_by_nobody(strata: Node) -> None:
    issued = strata.issue()
    strata.call("supervisor.svc.stop", {"name": "fs"})
    assert strata.call("identity.revoke", {"cap_id": issued.cap_id}) == {"status": "revoked"}
    strata.settle()


def test_services_that_were_killed_and_came_back_confirm(strata: Node) -> None:
    """And of those processes that they had before, nothing is kept."""
    for name in ("fs", "identity", "sandbox"):
        strata.kill(name)
    for _ in range(2):
        assert strata.call("identity.revoke", {"cap_id": strata.issue().cap_id}) == {"status": "revoked"}
