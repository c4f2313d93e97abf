# SPDX-License-Identifier: MIT
"""Vectors 015 to 023: the registry of a running Strata."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from node import NOBODY, Node, until
from wire import Wire

STARTUPS = 20


@pytest.fixture
def name(strata: Node) -> Iterator[str]:
    """The name of a service that is this test's own, forgotten afterwards."""
    own = f"vector-{uuid.uuid4().hex}"
    yield own
    if own in strata.registered():
        strata.call("registry.unregister", {"service": own})


def test_015_what_is_registered_is_resolved(strata: Node, name: str) -> None:
    """register{service x, endpoint "tcp://1.2.3.4:5", api_v 2} then resolve x -> that endpoint, api_v 2."""
    asked = {"service": name, "endpoint": "tcp://1.2.3.4:5", "api_v": 2}
    assert strata.call("registry.register", asked) == {"status": "registered"}
    assert strata.call("registry.resolve", {"service": name}) == {"endpoint": "tcp://1.2.3.4:5", "api_v": 2}


def test_016_api_v_is_one_unless_given(strata: Node, name: str) -> None:
    """Register without api_v -> resolve gives api_v 1 (so does 0; 2.9 is cut to 2: spec 1.7)."""
    for given, expected in (({}, 1), ({"api_v": 0}, 1), ({"api_v": 2.9}, 2)):
        strata.call("registry.register", {"service": name, "endpoint": "unix:///x.sock", **given})
        assert strata.call("registry.resolve", {"service": name})["api_v"] == expected


def test_017_registering_names_what_is_missing(strata: Node) -> None:
    """Register without service / without endpoint / {} -> code 1 `missing … param`, service first."""
    assert strata.refusal("registry.register", {"endpoint": "tcp://h:1"}) == (1, "missing service param")
    assert strata.refusal("registry.register", {"service": "x"}) == (1, "missing endpoint param")
    assert strata.refusal("registry.register", {}) == (1, "missing service param")
    assert strata.refusal("registry.register") == (1, "missing service param")


def test_018_the_last_registration_wins(strata: Node, name: str) -> None:
    """Register x twice with different endpoints -> last wins, list has one x."""
    for port in (1, 2):
        strata.call("registry.register", {"service": name, "endpoint": f"tcp://h:{port}"})
    assert strata.call("registry.resolve", {"service": name})["endpoint"] == "tcp://h:2"
    listed = [row for row in strata.call("registry.list")["services"] if row["service"] == name]
    assert [row["endpoint"] for row in listed] == ["tcp://h:2"]


def test_019_resolving_what_is_not_there(strata: Node, name: str) -> None:
    """Resolve unknown -> code 4; resolve {} -> code 1."""
    assert strata.refusal("registry.resolve", {"service": name}) == (4, f"service not registered: {name}")
    assert strata.refusal("registry.resolve", {}) == (1, "missing service param")


def test_020_an_empty_registry_lists_an_empty_array(tmp_path: Path) -> None:
    """List on empty registry -> `[]` not null: a registry of its own, run by hand."""
    own = {f"STRATA_{noun}_DIR": str(tmp_path) for noun in ("RUNTIME", "STATE", "CONFIG")}
    command = [sys.executable, "-m", "strata.registry.main"]
    path = tmp_path / "registry.sock"
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, env=os.environ | own, stderr=log) as registry:
        try:
            until(path.exists, "the registry listens")
            with Wire.to(path) as connection:
                assert connection.ask("registry.list")["result"] == {"services": []}
        finally:
            registry.terminate()
    assert registry.returncode == 0, (tmp_path / "log").read_text()


@pytest.mark.timeout(240)
def test_021_the_core_services_are_registered_at_every_startup(disturbed: Node) -> None:
    """Within 2 s of startup registry.list contains identity and fs on 20 of 20 startups.

    Strata is started up when all is Healthy, which is when `strata-ctl up` comes back.
    """
    for number in range(STARTUPS):
        disturbed.manager.run(["systemctl", "reset-failed", "strata-supervisor.service"])
        again = disturbed.manager.run(["systemctl", "restart", "strata-supervisor.service"])
        assert again.returncode == 0, again.stderr
        until(lambda: disturbed.states() == {"Healthy"}, f"startup {number} is complete", 30.0)
        until(lambda: disturbed.registered() >= {"identity", "fs"}, f"startup {number} registers all", 2.0)


def test_022_a_killed_registry_knows_the_services_again(disturbed: Node, name: str) -> None:
    """kill -9 registry; after its restart identity and fs are registered again without operator action."""
    before = {row["service"]: row for row in disturbed.call("registry.list")["services"]}
    disturbed.kill("registry")
    after = {row["service"]: row for row in disturbed.call("registry.list")["services"]}
    assert {service: after.get(service) for service in ("identity", "fs")} == {
        service: before[service] for service in ("identity", "fs")
    }


@pytest.mark.parametrize("service", ["identity", "vector-023-new"])
def test_023_another_user_registers_nothing(strata: Node, service: str) -> None:
    """An unprivileged peer (other uid) cannot register/overwrite `identity`, nor register or forget anything."""
    before = strata.call("registry.list")
    asked = {"service": service, "endpoint": "unix:///tmp/evil.sock"}
    assert strata.refusal("registry.register", asked, uid=NOBODY)[0] in (2, 3)
    assert strata.refusal("registry.unregister", {"service": service}, uid=NOBODY)[0] in (2, 3)
    assert strata.call("registry.list") == before
    assert strata.call("registry.list", uid=NOBODY) == before  # reading stays open to all
