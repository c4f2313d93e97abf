# SPDX-License-Identifier: MIT
"""The other two places to run: below a system manager that is PID 1, and below a user's own manager.

The rest of the live ring runs Strata in embedded mode where this machine's PID 1 is not systemd.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import machine
import pytest
import user_manager
from machine import Manager
from node import CTL

pytestmark = pytest.mark.timeout(120)

# Types the two words that follow, as an operator does, on the systemd that is PID 1 here; what it prints is JSON lines.
SYSTEM = """
set -eu
"$1" up >&2
"$1" status --json
token=$("$1" token issue --service fs --action list --path-prefix /usr --quiet)
"$1" -token "$token" fs.list '{"path":"share"}' >&2
"$1" down >&2
systemctl list-units --all --no-legend --plain 'strata-*.service' 'strata-*.socket' | grep -v embedded || true
"""

USER = (
    user_manager.OPERATED
    + """
ctl up >&2
ctl status --json
mkdir -p "$top/files"; echo hello > "$top/files/a.txt"; chmod -R a+rX "$top/files"
token=$(ctl token issue --service fs --action open,read --path-prefix "$top/files" --quiet)
handle=$(ctl -token "$token" fs.open '{"path":"a.txt"}' | sed -n 's/.*"handle": "\\(.*\\)".*/\\1/p')
ctl sandbox.create '{"owner":"u","session":"s"}' | grep -q '"driver": "kernel"'
ctl sandbox.exec '{"owner":"u","session":"s","command":"id -u; touch /usr/x; touch /data && ls /data"}' \\
    | grep -q '"stdout": "0\\\\n/data\\\\n"'
ctl sandbox.close '{"owner":"u","session":"s"}' >&2
ctl sandbox.create '{"owner":"u","session":"h","network":"host"}' >&2
ctl sandbox.put '{"owner":"u","session":"h","path":"f","data":"put"}' >&2
ctl sandbox.run '{"owner":"u","session":"h","argv":["/bin/cat","/root/f"]}' | grep -q '"stdout": "put"'
ctl sandbox.close '{"owner":"u","session":"h"}' >&2
ctl -token "$token" fs.read "{\\"handle\\":\\"$handle\\"}" | grep -q '"data": "hello'
ctl down >&2
[ -z "$(ls "$top"/strata/*.sock 2> "$top/none")" ]
"""
)


@pytest.fixture
def unused() -> Iterator[Manager]:
    """A private systemd on which no other test runs Strata."""
    if machine.is_systemd() or os.geteuid() != 0:
        pytest.skip("needs a systemd of its own, which root can boot where PID 1 is not one")
    with machine.private() as found:
        yield found


def typed(manager: Manager, script: str, *arguments: str) -> list[str]:
    """What the script printed, line by line; it must succeed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STRATA_")}
    kept["STRATA_SERVER_ADDR"] = manager.api
    argv = ["unshare", "--mount", "bash", "-c", script, "test", str(CTL), *arguments]
    answer = manager.run(argv, env=kept)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.splitlines()


def test_system_mode_below_pid_1(unused: Manager) -> None:
    """Root and PID 1 is systemd: `up` picks system mode, all is Healthy, `down` leaves no unit."""
    lines = typed(unused, SYSTEM)
    status = json.loads("\n".join(lines))

    assert status["mode"] == "system"
    assert {row["state"] for row in status["services"]} == {"Healthy"}


def test_user_mode_below_a_users_own_manager(unused: Manager) -> None:
    """Not root and a user manager runs: `up` picks user mode; issuing, opening and reading work; `down` ends it all."""
    top = Path("/run") / f"user-{uuid.uuid4().hex[:8]}"
    lines = typed(unused, USER, str(top))
    status = json.loads("\n".join(lines))

    assert status["mode"] == "user"
    assert {row["state"] for row in status["services"]} == {"Healthy"}
