# SPDX-License-Identifier: MIT
"""`strata-ctl up` and `strata run` where services of the user's own cannot become Healthy: the core serves."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator

import machine
import pytest
from node import CORE, CTL, Node, until

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to boot a private systemd"),
]

MANIFESTS = {
    "broken": 'command = ["/bin/false"]\ntype = "notify"\n[restart]\ncrashes = 1\n',
    "once": 'command = ["/bin/false"]\n[unit.Service]\nRestart = "no"\n',
    "behind": 'command = ["/bin/sleep", "infinity"]\nafter = ["broken"]\n',
    "farther": 'command = ["/bin/sleep", "infinity"]\nafter = ["behind", "fs"]\n',
    "well": 'command = ["/bin/sleep", "infinity"]\nafter = ["api"]\n',
}
"""One is Quarantined, one Crashed, two wait for the first, and the last becomes Healthy after all of the core.
The first is to say when it is ready: one that is so as soon as it runs may let others start before it has ended."""

TOLD = (
    "broken is Quarantined: it exited with status 1; "
    "look at `strata-ctl logs broken`, mend it, then `strata-ctl reset broken`",
    "once is Crashed: it exited with status 1; look at `strata-ctl logs once`, then `strata-ctl start once`",
    "behind is Declared: it comes after broken, which is Quarantined; mend that, then `strata-ctl start behind`",
    "farther is Declared: it comes after behind, which is Declared; mend that, then `strata-ctl start farther`",
)


@pytest.fixture
def node() -> Iterator[Node]:
    """A systemd of its own on which no Strata runs yet, and those manifests."""
    with machine.private() as manager:
        for name, manifest in MANIFESTS.items():
            (manager.paths.services_d / f"{name}.toml").write_text(manifest)
        found = Node(manager)
        yield found
        down = found.ctl("down")
        assert down.returncode == 0, down.stderr


def _states(node: Node) -> dict[str, str]:
    return {name: row["state"] for name, row in node.services().items()}


def test_up_brings_up_the_core_and_tells_of_users_services_that_are_not_well(node: Node) -> None:
    """Its exit code is that of `status`; again, it says the same at once."""
    started = time.monotonic()
    first, again = node.ctl("up"), node.ctl("up")

    assert time.monotonic() - started < 45  # it has 60 s each time to wait for what will not be
    assert _states(node) == dict.fromkeys((*CORE, "well"), "Healthy") | {
        "broken": "Quarantined",
        "once": "Crashed",
        "behind": "Declared",
        "farther": "Declared",
    }
    for up in (first, again):
        assert up.returncode == node.ctl("status").returncode == 1
        assert set(TOLD) <= set(up.stdout.splitlines()), up.stdout
        assert "cannot" not in up.stderr


def test_up_waits_for_users_services_that_are_on_their_way(node: Node) -> None:
    """That another one is not well is no reason to leave before."""
    slow = 'type = "notify"\ncommand = ["/bin/sh", "-c", "sleep 3; systemd-notify --ready; exec sleep infinity"]\n'
    (node.manager.paths.services_d / "slow.toml").write_text(slow + '[unit.Service]\nNotifyAccess = "all"\n')
    up = node.ctl("up", "--json")

    states = {row["name"]: row["state"] for row in json.loads(up.stdout)["services"]}
    assert (states["slow"], states["broken"]) == ("Healthy", "Quarantined")


def test_run_serves_and_tells_of_users_services_that_are_not_well(node: Node) -> None:
    with tempfile.TemporaryFile("w+") as told:
        argv = [CTL.with_name("strata"), "run", "--insecure-no-auth"]
        serving = subprocess.Popen(argv, cwd="/", env=node.environment, stdin=subprocess.DEVNULL, stderr=told)
        try:
            until(lambda: _said(told.fileno(), f"warning: {TOLD[0]}"), "it tells of the broken one", 60)
            assert set(CORE) <= {name for name, state in _states(node).items() if state == "Healthy"}
        finally:
            serving.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                serving.wait(60)
        assert serving.returncode == 0, _said(told.fileno(), "")


def _said(fd: int, words: str) -> str:
    """All that was written so far, if those words are in it."""
    text = os.pread(fd, 1 << 20, 0).decode()
    return text if words in text else ""
