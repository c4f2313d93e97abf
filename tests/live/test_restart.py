# SPDX-License-Identifier: MIT
"""Strata is restarted and given other settings while it is used, nothing that runs notices; and it is stopped."""

from __future__ import annotations

import pytest
from inside import Inside
from node import CORE, until
from renewed import BOTH, COUNTING, LISTENER, OWN, SLEEPER, SUPERVISOR, Place, crowd, lines, remembers
from renewed import place as place  # fixtures
from renewed import session as session
from renewed import upgraded as upgraded

pytestmark = pytest.mark.timeout(180)


@BOTH
def test_a_restart_of_the_supervisor_leaves_everything_running(place: Place, session: Inside) -> None:
    """Services keep their processes, wishes hold, and clients wait instead of being refused."""
    place.declare(SLEEPER)
    place.declare(SLEEPER, "stopped")
    place.node.call("supervisor.svc.stop", {"name": "stopped"})
    run = session.begin(COUNTING)
    key = place.node.manager.paths.identity_pub.read_text()
    before, registered, supervisor = place.pids(), place.node.registered(), place.supervisor()
    with crowd(place, session.owner):
        place.systemctl("restart", SUPERVISOR)
    assert place.supervisor() not in (0, supervisor)
    assert place.rolled_out() == "done"
    assert place.pids() == before
    assert place.node.services()["stopped"]["state"] == "Stopped"
    assert place.node.registered() == registered
    assert place.node.manager.paths.identity_pub.read_text() == key
    assert remembers(session)
    seen = len(lines(session, run))
    until(lambda: len(lines(session, run)) > seen, "the run goes on")


@OWN
def test_other_restarts_than_that_are_none_either(place: Place) -> None:
    """try-restart, and systemd's own after a failure."""
    before = place.pids()
    place.systemctl("try-restart", SUPERVISOR)
    supervisor = place.supervisor()
    place.systemctl("kill", "--kill-whom=main", "--signal=ABRT", SUPERVISOR)
    until(lambda: place.supervisor() not in (0, supervisor), "there is another")
    until(lambda: place.systemctl("show", "-P", "ActiveState", SUPERVISOR) == "active", "it is back", 30.0)
    assert place.rolled_out() == "done"
    assert place.pids() == before


@BOTH
def test_changed_settings_restart_the_core_and_nobody_notices(place: Place, session: Inside) -> None:
    """Users' services keep their processes; sessions, runs, terminals, tokens and revocations hold."""
    place.declare(LISTENER)
    run = session.begin(COUNTING)
    with session.attach() as screen:
        screen.type("echo before-$((1+1))\n")
        screen.until("before-2")
    valid, revoked = place.node.issue(path_prefix="/tmp"), place.node.issue(path_prefix="/tmp")
    place.node.call("identity.revoke", {"cap_id": revoked.cap_id})
    before, counted = place.pids(), lines(session, run)
    with crowd(place, session.owner):
        place.settings.write_text(place.first_settings + "[sandbox]\nmax_sessions = 77\n")
        assert "strata.toml has changed: `strata-ctl restart` applies it" in place.ctl("reload")
        assert "strata.toml has changed: `strata-ctl restart` applies it" in place.ctl("up")
        assert "fs: the settings changed" in place.ctl("restart")
    after = place.pids()
    assert {name for name in before if after[name] != before[name]} == set(CORE)
    assert place.node.call("sandbox.stats")["max_sessions"] == 77
    assert remembers(session)
    now = lines(session, run)
    assert now[: len(counted)] == counted
    assert now == [str(number) for number in range(len(now))]
    with session.attach() as screen:
        screen.until("before-2")
        screen.type("echo after-$((1+1))\n")
        screen.until("after-2")
    assert place.node.ask("fs.list", {"path": "."}, token=valid.token)["ok"]
    assert "revoked" in place.node.refusal("fs.list", {"path": "."}, token=revoked.token)[1]


@OWN
def test_settings_that_cannot_be_used_are_told_before_anything_ends(place: Place) -> None:
    before = place.supervisor()
    place.settings.write_text("[sandbox\n")
    assert "strata.toml" in place.ctl("reload", fails=True)
    assert "strata.toml" in place.ctl("restart", fails=True)
    assert place.supervisor() == before


@OWN
def test_what_the_settings_leave_out_is_stopped(place: Place) -> None:
    place.settings.write_text(place.first_settings + "[core]\napi = false\n")
    assert "api: it is not declared any more" in place.ctl("restart")
    assert "api" not in place.node.services()
    assert place.systemctl("show", "-P", "ActiveState", "strata-api.socket") == "inactive"
    until(lambda: "api" not in place.node.registered(), "it is not registered any more")


@OWN
def test_a_users_service_is_declared_anew_behind_its_socket(place: Place) -> None:
    """A changed manifest is another unit, but the same listening socket; and it is a restart that applies it, too."""
    place.declare(LISTENER)
    socket_file = place.node.manager.paths.runtime_dir / "mine.sock"
    inode, before = socket_file.stat().st_ino, place.pids()
    changed = LISTENER.replace("[socket]", 'stop_timeout = "7s"\n[socket]')
    (place.node.manager.paths.services_d / "mine.toml").write_text(changed)
    assert "mine: its manifest changed" in place.ctl("restart")
    after = place.pids()
    assert {name for name in before if after[name] != before[name]} == {"mine"}
    assert place.systemctl("show", "-P", "TimeoutStopUSec", "strata-svc-mine.service") == "7s"
    assert socket_file.stat().st_ino == inode
    assert not place.node.call("supervisor.svc.reload")["plan"]


@OWN
def test_what_a_broken_manifest_declared_runs_on(place: Place) -> None:
    """A new version may read manifests more strictly; that is no wish to stop anything."""
    place.declare(SLEEPER)
    before = place.pids()["mine"]
    (place.node.manager.paths.services_d / "mine.toml").write_text("comand = 1\n")
    place.ctl("restart")
    assert "mine" not in place.node.services()
    assert place.systemctl("show", "-P", "MainPID", "strata-svc-mine.service") == str(before)


@OWN
def test_a_stop_is_for_good(place: Place) -> None:
    """Everything is stopped in order, at once, and nobody is left waiting before a socket."""
    place.declare(SLEEPER)
    place.systemctl("stop", SUPERVISOR)
    left = place.systemctl("list-units", "--no-legend", "--plain", "--state=active", "strata-*.service", "*.socket")
    assert "strata-fs" not in left
    assert "strata-svc" not in left
    assert not place.node.manager.paths.socket("supervisor").exists()
    assert not place.node.manager.paths.identity_pub.exists()
    place.ctl("up")


@OWN
def test_a_machine_that_goes_down_waits_for_nothing(place: Place, session: Inside) -> None:
    """Then PID 1 stops everything at once, as it does for another target: within seconds, and without an outcry."""
    session.begin(COUNTING)
    place.declare(SLEEPER)
    target = "[Unit]\nAllowIsolate=yes\nWants=systemd-journald.service\n"
    place.node.manager.run(["sh", "-c", "cat > /run/systemd/system/quiet.target"], input=target)
    place.systemctl("daemon-reload")
    place.systemctl("isolate", "--no-block", "quiet.target")
    until(
        lambda: "running" not in place.systemctl("list-units", "--no-legend", "strata-*.service"), "all is over", 15.0
    )
    invocation = place.node.manager.journal(f"_SYSTEMD_UNIT={SUPERVISOR}")[-1]["_SYSTEMD_INVOCATION_ID"]
    errors = place.node.manager.journal(f"_SYSTEMD_INVOCATION_ID={invocation}", "--priority=err")
    assert not errors
    place.ctl("up")
