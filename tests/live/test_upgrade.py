# SPDX-License-Identifier: MIT
"""Strata is upgraded while it is used: nothing that runs notices, and a version that does not come up stops there."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import mcp_client
import pytest
import visitor
from inside import Inside
from node import CORE, until
from renewed import BOTH, COUNTING, LISTENER, OWN, SLEEPER, Place, crowd, lines, remembers
from renewed import place as place  # fixtures
from renewed import session as session
from renewed import upgraded as upgraded
from visitor import Visitor

pytestmark = pytest.mark.timeout(180)


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
