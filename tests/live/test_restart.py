# SPDX-License-Identifier: MIT
"""Strata is restarted, given other settings, and upgraded, while it is used: nothing that runs notices."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import carried
import machine
import mcp_client
import pytest
import visitor
from copied import Copy, installed
from inside import Inside
from machine import Manager
from node import CORE, Node, until
from visitor import Visitor

from strata.sockets.client import Client

pytestmark = pytest.mark.timeout(180)

SUPERVISOR = "strata-supervisor.service"
SLEEPER = 'command = ["/bin/sleep", "infinity"]\n'
LISTENER = SLEEPER + '[socket]\nlisten = "${runtime_dir}/mine.sock"\n'
COUNTING = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done"


class Place:
    """A Strata whose code is a copy that a test may change, on `manager`."""

    def __init__(self, manager: Manager, copy: Copy) -> None:
        self.node, self.copy = Node(manager), copy
        self.settings = manager.paths.config_dir / "strata.toml"
        self.first_settings = self.settings.read_text()

    def ctl(self, *arguments: str, fails: bool = False) -> str:
        """What `strata-ctl` says, to both its streams."""
        done = self.copy.ctl(*arguments, env=self.node.environment)
        assert bool(done.returncode) == fails, done
        return done.stdout + done.stderr

    def systemctl(self, *arguments: str) -> str:
        done = self.node.manager.run(["systemctl", *arguments])
        assert done.returncode == 0, done.stderr + self.node.manager.journal_tail()
        return done.stdout.strip()

    def pids(self) -> dict[str, int]:
        """Of the services, by name."""
        return {name: row["pid"] for name, row in self.node.services().items()}

    def core_pids(self) -> dict[str, int]:
        return {name: pid for name, pid in self.pids().items() if name in CORE}

    def supervisor(self) -> int:
        return int(self.systemctl("show", "-P", "MainPID", SUPERVISOR))

    def rolled_out(self) -> str:
        """How far the roll-out came, once it is over."""
        until(lambda: self.node.call("supervisor.status")["rollout"] != "running", "the roll-out is over", 60.0)
        return str(self.node.call("supervisor.status")["rollout"])

    def events(self) -> list[tuple[str, str, str]]:
        """Service, event and message of all that this supervisor has told."""
        with Client(self.node.manager.paths.socket("supervisor"), timeout=30) as client:
            told = client.stream("supervisor.events", {"follow": False})
            return [(event["service"], event["event"], event["message"]) for event in told]

    def declare(self, manifest: str, name: str = "mine") -> None:
        (self.node.manager.paths.services_d / f"{name}.toml").write_text(manifest)
        assert not self.node.call("supervisor.svc.reload", {"apply": True})["problems"]
        until(lambda: self.node.services()[name]["state"] == "Healthy", f"{name} is Healthy")

    def mend(self) -> None:
        """As it was brought up."""
        self.settings.write_text(self.first_settings)
        for manifest in self.node.manager.paths.services_d.iterdir():
            manifest.unlink()
        self.ctl("restart")
        self.node.settle()


OWN = pytest.mark.parametrize("upgraded", ["own"], indirect=True)
BOTH = pytest.mark.parametrize("upgraded", ["own", "modern"], indirect=True)


@pytest.fixture(scope="module")
def upgraded(request: pytest.FixtureRequest) -> Iterator[Place]:
    """On a systemd of its own: of this machine's version, or of Debian 13's."""
    modern = request.param == "modern"
    request.getfixturevalue("modern_manager" if modern else "manager")  # it says what is missing
    with installed() as copy, contextlib.ExitStack() as stack:
        tree = Path(carried.__file__).parent.parent / ".cache/debian13"
        given = (tree, carried.into(tree)) if modern else ()
        place = Place(stack.enter_context(machine.private(*given)), copy)
        try:
            place.ctl("up")
            yield place
        finally:
            place.copy.ctl("down", env=place.node.environment)


@pytest.fixture
def place(upgraded: Place) -> Iterator[Place]:
    """Mended afterwards, pass or fail; sessions are closed."""
    yield upgraded
    upgraded.mend()
    for one in upgraded.node.call("sandbox.list")["sessions"]:
        upgraded.node.call("sandbox.close", {"owner": one["owner"], "session": one["session"]})


@pytest.fixture
def session(place: Place) -> Inside:
    """With a shell that remembers and a background run that counts."""
    found = Inside(place.node, f"u{uuid.uuid4().hex[:8]}", "s")
    found.call("create")
    found.call("exec", command="cd /tmp; colour=red")
    return found


def remembers(session: Inside) -> bool:
    return bool(session.call("exec", command="echo $colour in $PWD")["output"] == "red in /tmp")


def lines(session: Inside, run: str) -> list[str]:
    return session.output(run).split()


@contextlib.contextmanager
def crowd(place: Place, owner: str) -> Iterator[dict[str, int]]:
    """Clients that come and go over every socket while the context lasts: how often each was answered. None may be
    refused, cut off or answered with an error."""
    token = place.node.issue(service=visitor.SERVICE, actions=list(visitor.ACTIONS), owner=owner).token
    guest = Visitor(place.node.address, owner, token)

    kept = http.client.HTTPConnection(guest.address, timeout=30)

    def ask_again() -> None:
        try:
            kept.request("GET", "/api/stats", headers=guest.authorization)
            response = kept.getresponse()
            assert (response.status, response.read()[:2]) == (200, b'{"')
        except (http.client.RemoteDisconnected, ConnectionError):
            kept.close()  # any server may hang up between two requests

    asking: dict[str, Callable[[], Any]] = {
        "supervisor": lambda: place.node.call("supervisor.status"),
        "registry": lambda: place.node.call("registry.resolve", {"service": "fs"}),
        "identity": lambda: place.node.issue(path_prefix="/tmp"),
        "sandbox": lambda: place.node.call("sandbox.exec", {"owner": owner, "session": "s", "command": "echo $colour"}),
        "http": lambda: guest.active(),
        "kept": ask_again,
    }
    answered, refused, over = dict.fromkeys(asking, 0), list[str](), threading.Event()

    def work(name: str) -> None:
        while not over.wait(0.005):
            try:
                asking[name]()
                answered[name] += 1
            except Exception as error:  # noqa: BLE001  whatever it is, it is told
                refused.append(f"{name}: {error!r}")

    threads = [threading.Thread(target=work, args=(name,)) for name in asking]
    for thread in threads:
        thread.start()
    try:
        until(lambda: min(answered.values()) > 3, "everybody is answered")
        yield answered
        before = dict(answered)
        until(lambda: all(answered[name] > before[name] for name in asking), "everybody is answered again", 20.0)
    finally:
        over.set()
        for thread in threads:
            thread.join()
        kept.close()
    assert not refused, refused[:9]


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


@BOTH
def test_an_upgrade_reaches_everything_and_drops_nothing(place: Place, session: Inside) -> None:
    """The files are taken away, all goes on; others come, and after a restart they are what runs."""
    place.declare(SLEEPER)
    run, mine = session.begin(COUNTING), place.pids()["mine"]
    token = place.node.issue(service=visitor.SERVICE, actions=list(visitor.ACTIONS), owner=session.owner).token
    place.copy.take_away()
    try:
        works_without_its_files(place, Visitor(place.node.address, session.owner, token, "other"))
        assert remembers(session)
    finally:
        place.copy.bring_back()
    version = place.node.call("supervisor.status")["version"]
    place.copy.change("__init__.py", lambda text: text.replace(f'"{version}"', '"99.0"'))
    try:
        with crowd(place, session.owner):
            assert f"Strata {version} runs and 99.0 is installed" in place.ctl("up")
            said = place.ctl("restart")
        assert all(f"{name}: Strata {version} -> 99.0" in said for name in CORE)
        assert "Strata 99.0 runs" in said
        assert place.pids()["mine"] == mine
        assert remembers(session)
        seen = lines(session, run)
        assert seen == [str(number) for number in range(len(seen))]
        until(lambda: len(lines(session, run)) > len(seen), "the run goes on")
        session.call("kill", id=run)
        assert session.call("wait", id=run)["ended"] == "signal"
    finally:
        place.copy.change("__init__.py", lambda text: text.replace('"99.0"', f'"{version}"'))


@contextlib.contextmanager
def upgraded_with(place: Place, file: str, before: str, after: str) -> Iterator[None]:
    """A later version, in which a file says something else; the former one is put back."""
    version = place.node.call("supervisor.status")["version"]
    changes = {"__init__.py": (f'"{version}"', '"99.0"'), file: (before, after)}
    for name, (old, new) in changes.items():
        place.copy.change(name, lambda text, old=old, new=new: text.replace(old, new))  # type: ignore[misc]
    try:
        yield
    finally:
        for name, (old, new) in changes.items():
            place.copy.change(name, lambda text, old=old, new=new: text.replace(new, old))  # type: ignore[misc]


@BOTH
def test_sockets_that_an_upgrade_only_describes_otherwise_go_on_listening(place: Place, session: Inside) -> None:
    """Nobody is refused, and no session ends."""
    inode = place.node.manager.paths.socket("sandbox").stat().st_ino
    with upgraded_with(place, "templates/socket.j2", "DirectoryMode=0755", "DirectoryMode=0755\nBacklog=77"):
        with crowd(place, session.owner):
            assert "sandbox: Strata" in place.ctl("restart")
        assert remembers(session)
        assert place.node.manager.paths.socket("sandbox").stat().st_ino == inode
        assert place.systemctl("show", "-P", "Backlog", "strata-sandbox.socket") == "77"


@BOTH
def test_a_socket_that_an_upgrade_opens_otherwise_is_opened_anew_and_no_session_ends(
    place: Place, session: Inside
) -> None:
    socket_file = place.node.manager.paths.socket("sandbox")
    with upgraded_with(place, "services/sandbox.toml", 'mode = "0666"', 'mode = "0660"'):
        assert "sandbox: Strata" in place.ctl("restart")
        assert socket_file.stat().st_mode & 0o777 == 0o660
        assert remembers(session)


def works_without_its_files(place: Place, guest: Visitor) -> None:
    """Each room, and each protocol of the door, does what it is there for."""
    node, ids = place.node, {"owner": guest.owner, "session": guest.session}
    guest.create()
    assert guest.out("echo $((6*7))").strip() == "42"
    assert node.call("sandbox.run", {**ids, "argv": ["/bin/cat"], "stdin": "given"})["stdout"] == "given"
    with guest.web() as shell:
        shell.type("echo $((6*7))\n")
        shell.until("42")
    with guest.grpc() as rpc:
        assert rpc.exec("echo hi").output.strip() == "hi"
    with mcp_client.opened(guest) as client:
        assert client.tools()
    for method in ("describe", "usage", "snapshots", "diff", "runs", "terminals", "freeze", "thaw", "files"):
        node.call(f"sandbox.{method}", ids | ({"path": "/tmp"} if method == "files" else {}))
    node.call("sandbox.snapshot", {**ids, "name": "kept"})
    node.call("sandbox.fork", {**ids, "to_session": "fork", "snapshot": "kept"})
    for name in ("fork", guest.session):
        node.call("sandbox.close", {**ids, "session": name})
    node.call("sandbox.remove_snapshot", {"owner": guest.owner, "name": "kept"})
    issued = node.issue(path_prefix="/tmp")
    assert node.ask("fs.list", {"path": "."}, token=issued.token)["ok"]
    node.call("identity.rotate")
    node.call("identity.revoke", {"cap_id": issued.cap_id})
    assert "revoked" in node.refusal("fs.list", {"path": "."}, token=issued.token)[1]
    place.declare(LISTENER, "later")
    node.call("supervisor.svc.restart", {"name": "later"})
    (node.manager.paths.services_d / "later.toml").unlink()
    plan = node.call("supervisor.svc.reload", {"apply": True})
    assert [(step["verb"], step["service"]) for step in plan["plan"]] == [("stop", "later")]


@OWN
def test_a_session_whose_record_cannot_be_read_is_left_alone(place: Place, session: Inside) -> None:
    """After an upgrade, or the way back: it runs on, nobody gets its name, and who can read it takes it back."""
    directory = place.node.manager.paths.state_dir / "sandbox/sessions" / session.owner / session.session
    record = directory / "session.json"
    known = record.read_bytes()
    record.write_bytes(json.dumps(json.loads(known) | {"limits": "of another form"}).encode())
    place.systemctl("restart", "strata-sandbox.service")
    assert place.node.ask("sandbox.describe", session.params({}))["error"]["name"] == "NOT_FOUND"
    assert "another version of Strata" in session.refusal("create")[1]
    assert place.systemctl("show", "-P", "ActiveState", f"strata-sandbox-{session.owner}-s.scope") == "active"
    record.write_bytes(known)
    place.systemctl("restart", "strata-sandbox.service")
    assert remembers(session)


@OWN
def test_a_version_that_does_not_come_up_stops_at_the_first_service(place: Place) -> None:
    """What comes after it goes on as it was, everybody is told, and the next restart mends it."""
    before = place.core_pids()
    version = place.node.call("supervisor.status")["version"]
    place.copy.change("__init__.py", lambda text: text.replace(f'"{version}"', '"99.0"'))
    place.copy.change("fs/main.py", lambda text: text.replace("def main()", "raise SystemExit(3)\n\n\ndef main()"))
    try:
        said = place.ctl("restart", "--timeout", "100s", fails=True)
        assert "fs did not become ready" in said
        after = place.core_pids()
        assert {name for name in ("sandbox", "api") if after[name] == before[name]} == {"sandbox", "api"}
        assert {name for name in ("registry", "identity") if after[name] == before[name]} == set()
        assert place.rolled_out() == "stopped"
        told = next(message for service, event, message in place.events() if event == "rollout.stopped")
        assert "sandbox, api go on as they were" in told
    finally:
        place.copy.change("fs/main.py", lambda text: text.replace("raise SystemExit(3)\n\n\n", ""))
        place.copy.change("__init__.py", lambda text: text.replace('"99.0"', f'"{version}"'))
    place.ctl("restart")
    assert place.rolled_out() == "done"


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
