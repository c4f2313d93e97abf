# SPDX-License-Identifier: MIT
"""`strata-ctl install` for real, on a systemd that reads units from /etc, up to an uninstall that leaves nothing."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import carried
import pytest
import whole_machine
from node import CTL, NOBODY, until
from whole_machine import Machine

from strata.embedded import boot
from strata.installation import layout, mark
from strata.units import names

pytestmark = pytest.mark.timeout(120)

MODERN = Path(__file__).parents[2] / ".cache" / "debian13"
UNIT = f"{whole_machine.UNITS}/{names.SUPERVISOR}"

ASK = """
import json, socket, struct, sys
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect("/run/strata/supervisor.sock")
    request = json.dumps({"v": 1, "req_id": "1", "method": "supervisor.svc.restart", "params": {"name": "fs"}}).encode()
    sock.sendall(struct.pack(">I", len(request)) + request)
    reply = sock.makefile("rb")
    print(reply.read(struct.unpack(">I", reply.read(4))[0]).decode())
"""


@pytest.fixture
def here() -> Iterator[Machine]:
    """A machine on which nothing is installed."""
    with whole_machine.own_tree() as found:
        yield found


@pytest.fixture(scope="module")
def installed() -> Iterator[Machine]:
    """A machine on which Strata is installed and runs; tests leave it so."""
    with whole_machine.own_tree() as found:
        found.ctl("install")
        yield found


@pytest.fixture
def modern() -> Iterator[Machine]:
    """Debian 13's."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for a real systemd system manager")
    if not (MODERN / "usr/lib/systemd/systemd").exists():
        pytest.skip("needs a Debian 13 tree: `scripts/modern-tree` makes one")
    with whole_machine.whole(MODERN, carried.into(MODERN)) as found:
        yield found


def wanted_files() -> set[str]:
    """The paths of the table, for an administrator."""
    package = Path(layout.__file__).parents[1]
    found = {UNIT, f"{whole_machine.UNITS}/{names.SLICE}"}
    for kind, name in layout.NAMES.items():
        if kind not in layout.SHIPPED or list(package.glob(layout.SHIPPED[kind])):
            found.add(f"{layout.PLACES['admin'][kind]}/{name}")
    pages = package.glob(layout.SHIPPED["man"])
    return found | {f"{layout.PLACES['admin']['man']}/man{page.suffix[1:]}/{page.name}" for page in pages}


def test_what_is_installed_runs_survives_down_and_up_and_is_gone_after_uninstall(here: Machine) -> None:
    before = here.tree()
    said = here.ctl("install")
    assert "5 of 5 Healthy" in said
    assert f"{names.SUPERVISOR} starts at boot; members of the group strata are operators" in said
    assert not wanted_files() - here.paths()
    assert {check: row["level"] for check, row in here.checks().items() if row["level"] == "fail"} == {}
    assert here.checks()["start at boot"]["text"] == "enabled"

    running = here.pids()
    again = here.ctl("install")
    assert "all files are as they should be" in again
    assert here.pids() == running

    assert "it is installed: the next boot starts it again" in here.ctl("down")
    assert not [line for line in here.tree() - before if line.startswith("/run")]
    assert here.run("systemctl", "is-active", names.SUPERVISOR).stdout == "inactive\n"
    here.ctl("up")
    assert here.ok("systemctl", "show", "--value", "--property=FragmentPath", names.SUPERVISOR) == f"{UNIT}\n"

    said = here.ctl("uninstall")
    assert (
        "kept: /etc/strata, /var/lib/strata, the group strata; `strata-ctl uninstall --purge` removes them too" in said
    )
    kept = {"/var/lib/strata/identity", "/var/lib/strata/sandbox", "/var/lib/private/strata"}
    assert {line.split()[0] for line in here.tree() ^ before} == kept
    assert "/strata:" not in here.ok("sh", "-c", "systemctl list-unit-files --no-legend 'strata*'")
    assert here.ctl("uninstall") == "nothing is installed\n"
    assert "removed the group strata" in here.ctl("uninstall", "--purge")
    assert here.run("getent", "group", "strata").returncode == 2
    of_the_test = {"/etc/strata", "/etc/strata/strata.toml", "/var/lib/strata/private"}
    backups = {"/etc/group-", "/etc/gshadow-"}
    assert {line.split()[0] for line in here.tree() ^ before} <= of_the_test | backups


def test_members_of_the_group_are_operators_as_of_their_next_connection(installed: Machine) -> None:
    here = installed
    group = here.ok("getent", "group", "strata").split(":")[2]
    ask = (os.path.realpath(sys.executable), "-I", "-c", ASK)
    as_nobody = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}")
    member = json.loads(here.ok(*as_nobody, f"--groups={group}", *ask))
    assert member["ok"], member
    stranger = json.loads(here.ok(*as_nobody, "--clear-groups", *ask))
    assert stranger["error"]["name"] == "UNAUTHENTICATED"


def test_who_has_no_strata_of_his_own_is_told_of_the_machines(installed: Machine) -> None:
    said = installed.run(str(CTL), "status", STRATA_RUNTIME_DIR="/run/user/1000/strata").stderr
    assert "or operate the machine's with `STRATA_RUNTIME_DIR=/run/strata`" in said


def test_files_of_another_version_are_replaced_and_nothing_that_runs_is_dropped(installed: Machine) -> None:
    here = installed
    running = here.pids()
    supervisor = here.ok("systemctl", "show", "--value", "--property=MainPID", names.SUPERVISOR)
    old = here.ok("sed", "1d", UNIT).replace("[Unit]\n", "[Unit]\n# As it was once\n")
    here.write(UNIT, mark.put(old, "0.0.9"))
    finding = here.checks()["installation"]
    assert (finding["level"], finding["mend"]) == ("warn", "strata-ctl install")
    assert "of Strata 0.0.9" in finding["text"]

    said = here.ctl("install")
    assert f"wrote {UNIT}" in said
    assert here.pids() == running
    assert here.ok("systemctl", "show", "--value", "--property=MainPID", names.SUPERVISOR) != supervisor
    assert here.checks()["installation"]["level"] == "ok"


def test_a_file_that_somebody_changed_is_neither_overwritten_nor_removed(here: Machine) -> None:
    here.ctl("install", "--no-start")
    changed = here.ok("cat", UNIT) + "# mine\n"
    here.write(UNIT, changed)
    finding = here.checks()["installation"]
    assert finding["level"] == "fail"
    assert finding["text"] == f"{UNIT} was changed"
    assert re.search(
        rf"cannot write {UNIT}: it was changed since Strata wrote it; .*delete the file", here.refused("install")
    )
    assert f"kept {UNIT}: it was changed" in here.ctl("uninstall")
    assert here.ok("cat", UNIT) == changed
    assert here.run("systemctl", "is-enabled", names.SUPERVISOR).stdout == "disabled\n"

    here.write(UNIT, "[Service]\nExecStart=/bin/true\n")
    assert f"`strata-ctl install` did not write {UNIT}" in here.refused("uninstall")
    assert here.checks()["installation"]["text"] == f"{UNIT}, which `strata-ctl install` did not write"


def test_an_installation_that_failed_half_way_is_completed_by_the_next(here: Machine) -> None:
    """The unit is there by then, and yet nobody has disabled it."""
    here.write("/run/early/systemd-sysusers", "#!/bin/sh\necho no room >&2\nexit 1\n")
    here.ok("chmod", "755", "/run/early/systemd-sysusers")
    failed = here.run(str(CTL), "install", "--no-start", PATH=f"/run/early:{whole_machine.PATH}")
    assert (failed.returncode, "no room" in failed.stderr) == (1, True)
    assert here.run("systemctl", "is-enabled", names.SUPERVISOR).stdout != "enabled\n"
    assert f"{names.SUPERVISOR} starts at boot" in here.ctl("install", "--no-start")

    here.ok("systemctl", "disable", names.SUPERVISOR)
    assert "not started at boot (disabled)" in here.ctl("install", "--no-start")


def test_a_machine_on_which_it_runs_goes_down_without_waiting_for_it(here: Machine) -> None:
    """Stop jobs of the supervisor and of sockets must not wait for each other, up to the time limit of two minutes."""
    here.ctl("install")
    embedded, began = here.manager.embedded, time.monotonic()
    assert embedded
    boot.stop(embedded, timeout=100)
    assert time.monotonic() - began < 60


def test_an_image_that_is_being_made_has_it_start_at_its_first_boot(here: Machine) -> None:
    """No systemd is to be seen there; systemctl changes the files itself."""
    before = here.tree()
    alone = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run/systemd && exec "$@"', "alone", str(CTL))
    assert "PID 1 is not systemd" in here.run(*alone, "install").stderr
    assert f"{names.SUPERVISOR} starts at boot" in here.ok(*alone, "install", "--no-start")
    assert f"{whole_machine.UNITS}/multi-user.target.wants/{names.SUPERVISOR}" in here.paths()
    here.ok(*alone, "uninstall")
    changed = {line.split()[0] for line in here.tree() ^ before}
    assert changed <= {f"/etc/{name}" for name in ("group", "gshadow", "group-", "gshadow-")}


def test_a_strata_that_up_started_makes_way_unless_sandboxes_would_be_lost(here: Machine) -> None:
    here.ctl("up")
    here.ctl("exec", "alice/one", "--", "true")
    assert "with 1 open sandboxes, which end with it; `strata-ctl down`" in here.refused("install")
    assert UNIT not in here.paths()
    here.ctl("sandbox", "rm", "alice/one")
    assert "the installed one takes its place" in here.ctl("install")
    assert here.ok("systemctl", "show", "--value", "--property=Transient", names.SUPERVISOR) == "no\n"
    here.ctl("uninstall", "--purge")


def test_on_debian_13_it_starts_at_boot_reloads_and_keeps_its_sockets_when_it_fails(modern: Machine) -> None:
    """Settings that cannot be read end the supervisor for good, and nothing else."""
    before = modern.tree()
    modern.write(f"{UNIT}.d/soon.conf", "[Unit]\nStartLimitBurst=2\n")
    modern.ctl("install", "--no-start")
    modern.ok("systemctl", "start", "multi-user.target")
    until(
        lambda: modern.run("systemctl", "is-active", names.SUPERVISOR).stdout == "active\n", "the boot starts it", 30.0
    )
    until(lambda: modern.run(str(CTL), "status").returncode == 0, "all is Healthy", 30.0)
    modern.write("/etc/strata/services.d/mine.toml", 'command = ["/bin/sleep", "infinity"]\n')
    modern.ok("systemctl", "reload", names.SUPERVISOR)
    until(lambda: "mine" in modern.pids(), "the reload starts a new service", 30.0)

    running, settings = modern.pids(), modern.ok("cat", "/etc/strata/strata.toml")
    modern.write("/etc/strata/strata.toml", "nonsense = 1\n")
    modern.run("systemctl", "restart", names.SUPERVISOR)
    until(lambda: modern.run("systemctl", "is-failed", names.SUPERVISOR).stdout == "failed\n", "it is given up", 30.0)
    modern.ctl("identity.keys", "{}")
    modern.write("/etc/strata/strata.toml", settings)
    modern.ctl("up")
    assert modern.pids() == running

    modern.ok("rm", "-r", "/etc/strata/services.d/mine.toml", f"{UNIT}.d")
    modern.ctl("uninstall")
    kept = {"/var/lib/strata/identity", "/var/lib/strata/sandbox", "/var/lib/private/strata"}
    changed = {line.split()[0] for line in modern.tree() ^ before}
    assert changed - kept <= {f"/etc/{name}" for name in ("group", "gshadow", "group-", "gshadow-")}
