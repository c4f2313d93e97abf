# SPDX-License-Identifier: MIT
"""What strata.toml changes about the core: which services run, and the files that systemd hands over to them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import machine
import pytest
from machine import Manager
from node import CTL, Node, until
from visitor import ACTIONS, SERVICE

PAGE = Path(__file__).resolve().parents[2] / "docs/http.md"
SMALL = "[core]\nsandbox = false\napi = false\n"
WITHOUT_IDENTITY = "[core]\nidentity = false\nfs = false\nsandbox = false\napi = false\n"


class Settled:
    """A node whose settings a test writes. `files` is a directory for what they name."""

    def __init__(self, manager: Manager) -> None:
        self.node, self.files = Node(manager), manager.paths.config_dir
        self.settings = self.files / "strata.toml"
        self._before = self.settings.read_text()

    def up(self, text: str) -> None:
        """Running, with these settings and no other, and all that is declared Healthy."""
        self.settings.write_text(text)
        running = self.node.manager.paths.socket("supervisor").exists()
        brought = self.node.ctl("restart" if running else "up")
        assert brought.returncode == 0, brought.stdout + brought.stderr

    def down(self) -> None:
        down = self.node.ctl("down")
        self.settings.write_text(self._before)
        assert down.returncode == 0, down.stderr

    def doctor(self, name: str) -> dict[str, Any]:
        """The row of that name."""
        found: dict[str, Any] = json.loads(self.node.ctl("doctor", "--json").stdout)
        return next(row for row in found["checks"] if row["name"] == name)

    def typed(self, commands: str) -> str:
        """What they print."""
        env = self.node.environment | {"PATH": f"{CTL.parent}:{os.environ['PATH']}"}
        argv = ["bash", "-euc", commands]
        done = subprocess.run(argv, cwd=self.files, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1] if done.stdout else ""

    def exec(self, command: str) -> str:
        """What it prints in a session of alice's, over TLS."""
        where = f"https://{self.node.address}/api/v1/sessions/alice/one/exec"
        body = json.dumps({"command": command})
        said = self.typed(f"curl -sS --cacert door.pem -H @alice.header {where} -d '{body}'")
        return str(json.loads(said)["output"])


@pytest.fixture(scope="module")
def settled() -> Iterator[Settled]:
    """On this machine's systemd, privately booted."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for a real systemd system manager")
    with machine.private() as manager:
        found = Settled(manager)
        yield found
        found.down()


@pytest.fixture
def modern(modern_manager: Manager) -> Iterator[Settled]:
    """On Debian 13's."""
    found = Settled(modern_manager)
    yield found
    found.down()


@pytest.fixture(params=["settled", "modern"])
def either(request: pytest.FixtureRequest) -> Settled:
    """They hand files over in different ways (systemd 252 and 257)."""
    found: Settled = request.getfixturevalue(request.param)
    return found


def test_a_node_without_sandboxes_is_healthy_and_lacks_nothing(settled: Settled) -> None:
    settled.up(SMALL)
    assert {name: row["state"] for name, row in settled.node.services().items()} == dict.fromkeys(
        ("registry", "identity", "fs"), "Healthy"
    )
    until(lambda: settled.node.registered() == {"identity", "fs"}, "what runs is registered, and nothing else")
    assert settled.node.issue().token
    assert settled.doctor("sockets")["level"] == "ok"
    assert settled.node.ctl("status").returncode == 0
    assert not settled.node.manager.paths.socket("sandbox").exists()


def test_a_core_service_that_is_switched_off_ends_and_comes_back(settled: Settled) -> None:
    settled.up(SMALL)
    token = settled.node.issue().token
    settled.up(WITHOUT_IDENTITY)
    assert settled.node.services().keys() == {"registry"}
    left = settled.node.manager.run(["systemctl", "list-units", "--plain", "--no-legend", "strata-identity.*"])
    assert left.stdout == ""
    assert not settled.node.manager.paths.identity_pub.exists()
    settled.up(SMALL)
    assert settled.node.call("identity.introspect", {"token": token})["active"]


def test_a_seed_from_a_file_signs_and_another_one_takes_over(either: Settled) -> None:
    seed = either.files / "identity.key"
    seed.touch(mode=0o600)
    seed.write_bytes(os.urandom(32))
    either.up(f'{SMALL}[identity]\nkey_file = "{seed}"\n')
    token, before = either.node.issue().token, either.node.manager.paths.identity_pub.read_bytes()
    assert either.node.refusal("identity.rotate")[0] == 8
    seed.write_text(os.urandom(32).hex() + "\n")
    assert either.node.ctl("restart", "identity").returncode == 0
    published = either.node.manager.paths.identity_pub
    until(lambda: published.exists() and published.read_bytes() != before, "the new key is published")
    assert either.node.call("identity.introspect", {"token": token})["active"]
    state = either.node.identity_state / "keys.json"
    assert not any(key.get("seed") for key in json.loads(state.read_text())["keys"])
    _forget_keys(either)


def _forget_keys(settled: Settled) -> None:
    """Whose keys came from a file has none without it: begin anew."""
    settled.down()
    for file in settled.node.identity_state.iterdir():
        file.unlink()


def test_the_door_serves_tls_as_the_page_says_and_a_new_certificate_drops_no_session(settled: Settled) -> None:
    """docs/http.md, TLS: the commands and the settings, as they stand there."""
    text = PAGE.read_text(encoding="utf-8").partition("\n## TLS\n")[2].partition("\n## ")[0]
    text = text.replace("/etc/strata", str(settled.files)).replace("127.0.0.1:2280", settled.node.address)
    make, use = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (given,) = re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    settled.up(SMALL)
    token = settled.node.issue(service=SERVICE, actions=list(ACTIONS), owner="alice").token
    (settled.files / "alice.header").write_text(f"Authorization: Bearer {token}\n")
    settled.typed(make)
    settled.settings.write_text(given)
    assert settled.typed(use) == '{"active_sessions":0,"max_sessions":100}'
    assert settled.exec("cd /tmp; pwd") == "/tmp"
    old = _serial(settled)
    settled.typed(make)
    assert settled.node.ctl("restart", "api").returncode == 0
    assert _serial(settled) != old
    assert settled.exec("pwd") == "/tmp"
    assert "valid until" in settled.doctor("certificate")["text"]
    assert "MemoryDenyWriteExecute=yes" in settled.node.ctl("unit", "cat", "api").stdout
    settled.node.call("sandbox.close", {"owner": "alice", "session": "one"})


def _serial(settled: Settled) -> str:
    host, _, port = settled.node.address.partition(":")
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", f"{host}:{port}"], input="", capture_output=True, text=True, check=False
    )
    serial = subprocess.run(
        ["openssl", "x509", "-noout", "-serial"], input=shown.stdout, capture_output=True, text=True, check=True
    )
    return serial.stdout
