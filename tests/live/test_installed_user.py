# SPDX-License-Identifier: MIT
"""`strata-ctl install --user` for real, below a user's own systemd, up to an uninstall that leaves nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import user_manager
import whole_machine
from node import CTL
from whole_machine import Machine

from strata.units import names

pytestmark = pytest.mark.timeout(120)

# Types, as a user whose own systemd runs: install, a look, down, up, uninstall. What is left is told at the end.
USER = (
    user_manager.OPERATED
    + """
tree() {
    find "$top" \\( -path "$top/systemd" -o -path "$top/log" -o -path "$top/.local/state/strata/*" \\) -prune -o \\
        -printf '%p %M\\n' | sort
}
mkdir -p "$top/.config/strata"; echo "$3" > "$top/.config/strata/strata.toml"; chown -R 65534 "$top/.config"
as systemctl --user is-system-running --wait >&2 || true  # others have made their sockets then
tree > /run/before
ctl install --user >&2
as systemctl --user show --value --property=FragmentPath,UnitFileState strata-supervisor.service
ctl doctor --json > /run/doctor || true
ctl status --json > /run/status
ctl down >&2
ctl up >&2
ctl install --user >&2
ctl uninstall --user >&2
tree | comm -13 /run/before - | sed "s,$top/,kept ,"
ctl uninstall --user --purge >&2
tree | comm -13 /run/before - | sed "s,$top/,,"
echo ==
cat /run/status; echo ==
cat /run/doctor
"""
)


@pytest.fixture
def here() -> Iterator[Machine]:
    """A machine on which nothing is installed."""
    with whole_machine.own_tree() as found:
        yield found


def test_a_user_installs_it_for_himself(here: Machine) -> None:
    """The group, the machine's directories and root have no part in it; what lingers is told."""
    top = "/run/user-alice"
    settings = f'[api]\naddress = "{here.manager.api}"'
    done = here.manager.run(
        ["unshare", "--mount", "bash", "-c", USER, "test", str(CTL), top, settings], env={"PATH": whole_machine.PATH}
    )
    assert done.returncode == 0, done.stderr
    told, status, doctor = (part.strip() for part in done.stdout.split("==\n"))
    fragment, state, *left = told.splitlines()
    assert (fragment, state) == (f"{top}/.config/systemd/user/{names.SUPERVISOR}", "enabled"), told
    assert left == [f"kept {path} drwxr-xr-x" for path in (".local", ".local/state", ".local/state/strata")]
    assert "starts when you log in and ends with your last session; `loginctl enable-linger`" in done.stderr
    assert json.loads(status)["mode"] == "user"
    levels = {row["name"]: row["level"] for row in json.loads(doctor)["checks"]}
    assert (levels["installation"], levels["start at boot"], levels["operators"]) == ("ok", "warn", "ok")
