# SPDX-License-Identifier: MIT
"""A sealed service below a user manager: nothing is asked that takes privileges, and what is asked is enforced."""

from __future__ import annotations

import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any

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
printf 'from outside' > "$top/secret"
chown 65534 "$top/secret"
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


HANDED_OVER = """
import json, os
place = os.environ["CREDENTIALS_DIRECTORY"] + "/secret"
print(json.dumps([open(place).read(), os.stat(place).st_mode & 0o777]), flush=True)
"""


def answer(manager: Manager, top: str, program: str, **more: Any) -> Any:
    """What a sealed service with this program prints, below a user manager in the directory `top`."""
    if manager.embedded is None:
        pytest.skip("starts a user manager in cgroups of its own, for which a private systemd is needed")
    manifest = Manifest(
        name="ask",
        # Not ${python}: the one of this checkout may lie below a home that is closed to `nobody`.
        command=(os.path.realpath(sys.executable), "-P", "-c", program),
        profile="sealed",
        unit={"Service": {"Restart": ("no",), "StandardOutput": (f"file:{top}/out",)}},
        source="test",
        **more,
    )
    texts = json.dumps([list(unit) for unit in render(manifest, context("user", manager.version, in_it(top)))])
    arguments = [top, sys.executable, str(STARTER), str(manager.version)]
    said = manager.run(["bash", "-c", SCRIPT, "user-manager", *arguments], input=texts)
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)


def in_it(top: str) -> Paths:
    return Paths(Path(top, "strata"), Path(top, "state"), Path(top, "config"))


@pytest.fixture
def top() -> str:
    return f"/run/user-{uuid.uuid4().hex[:8]}"


def test_a_file_is_handed_over_below_a_user_manager_too(manager: Manager, top: str) -> None:
    content, mode = answer(manager, top, HANDED_OVER, credentials={"secret": f"{top}/secret"})
    assert (content, mode & 0o077) == ("from outside", 0)


def test_a_sealed_service_runs_below_a_user_manager(manager: Manager, top: str) -> None:
    paths = in_it(top)
    uid, given, inet, root = answer(manager, top, ASK, state_directory=True)
    assert uid == 65534
    given.pop("STRATA_SERVER_ADDR", None)  # from the environment of whoever runs the tests
    assert given == {**paths.environment(), "STRATA_NODE_ID": "local-0", "STATE_DIRECTORY": f"{top}/state/ask"}
    assert inet is not None
    assert root == "PermissionError"
