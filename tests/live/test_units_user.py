# SPDX-License-Identifier: MIT
"""A sealed service below a user manager: nothing is asked that takes privileges, and what is asked is enforced."""

from __future__ import annotations

import json
import os
import sys
import uuid
from pathlib import Path

import pytest
import user_manager
from machine import Manager

from strata.paths import Paths
from strata.units.context import context
from strata.units.model import Manifest
from strata.units.render import render

STARTER = Path(__file__).with_name("unit_start.py")

# A user manager, then the service, its answer, and an end to all of it.
SCRIPT = (
    """
set -e
top=$1 python=$2 starter=$3 version=$4
mkdir -p "$top"
chown 65534 "$top"
chmod 700 "$top"
"""
    + user_manager.START
    + """
"$python" "$starter" "unix:path=$top/systemd/private" "$version" >&2
for _ in $(seq 200); do grep -qs ']$' "$top/out" && break; sleep 0.05; done
cat "$top/out"
"""
)

ASK = """
import json, os, socket
def refused(call, *given):
    try:
        call(*given)
    except OSError as error:
        return type(error).__name__
given = {key: value for key, value in os.environ.items() if "STRATA" in key or key.endswith("DIRECTORY")}
print(json.dumps([os.getuid(), given, refused(socket.socket, socket.AF_INET), refused(os.setuid, 0)]), flush=True)
"""


def test_a_sealed_service_runs_below_a_user_manager(manager: Manager) -> None:
    if manager.embedded is None:
        pytest.skip("starts a user manager in cgroups of its own, for which a private systemd is needed")
    top = f"/run/user-{uuid.uuid4().hex[:8]}"
    paths = Paths(Path(top, "strata"), Path(top, "state"), Path(top, "config"))
    manifest = Manifest(
        name="ask",
        # Not ${python}: the one of this checkout may lie below a home that is closed to `nobody`.
        command=(os.path.realpath(sys.executable), "-P", "-c", ASK),
        profile="sealed",
        state_directory=True,
        unit={"Service": {"Restart": ("no",), "StandardOutput": (f"file:{top}/out",)}},
        source="test",
    )
    texts = json.dumps([list(unit) for unit in render(manifest, context("user", manager.version, paths))])
    arguments = [top, sys.executable, str(STARTER), str(manager.version)]
    answer = manager.run(["bash", "-c", SCRIPT, "user-manager", *arguments], input=texts)
    assert answer.returncode == 0, answer.stderr
    uid, given, inet, root = json.loads(answer.stdout)
    assert uid == 65534
    given.pop("STRATA_SERVER_ADDR", None)  # from the environment of whoever runs the tests
    assert given == {**paths.environment(), "STRATA_NODE_ID": "local-0", "STATE_DIRECTORY": f"{top}/state/ask"}
    assert inet is not None
    assert root == "PermissionError"
