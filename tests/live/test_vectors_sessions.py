# SPDX-License-Identifier: MIT
"""Vectors 113 to 130: sessions over HTTP, on a running Strata; `served` is one with settings of its own."""

from __future__ import annotations

import concurrent.futures
import os
import re
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import mcp_client
import pytest
import served as serving
import visitor
import wire
from node import Node, until
from served import Served
from visitor import Visitor
from websockets.exceptions import InvalidStatus

from strata import config
from strata.paths import Paths

FOREIGN = "https://evil.example"
BAD_IDS = (
    "", ".", "..", "a/b", "a:b", "a b", "x@y", "i;touch${IFS}f;", "a,b", "it's", "a\0b", "a" * 300, "../../etc", "-x",
    "a\n", "ä",
)  # fmt: skip
REQUIRED = "owner_id and session_id are required"


@pytest.fixture
def nobody(served: Served) -> Visitor:
    """One who needs no token."""
    return served.visitor()


def test_113_stats_of_an_empty_server(nobody: Visitor) -> None:
    """GET /api/stats -> 200 {"active_sessions":0}; ours says beside it how many there may be."""
    answer = nobody.ask("GET", "/api/stats")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == {"active_sessions": 0, "max_sessions": serving.MOST}


def test_114_create_and_find_again(nobody: Visitor) -> None:
    """POST /api/sessions {owner_id u, session_id s} -> 200 with owner_id, session_id, created_at RFC3339; repeat ->
    same created_at, stats 1."""
    before = datetime.now(UTC).replace(microsecond=0)
    made = nobody.ok("POST", "/api/sessions", {"owner_id": "u", "session_id": "s"})
    assert (made["owner_id"], made["session_id"]) == ("u", "s")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", made["created_at"])
    assert before <= datetime.fromisoformat(made["created_at"]) <= datetime.now(UTC)
    until(lambda: datetime.now(UTC).replace(microsecond=0) > before, "another second has begun")

    assert nobody.ok("POST", "/api/sessions", {"owner_id": "u", "session_id": "s"})["created_at"] == made["created_at"]
    assert nobody.active() == 1


@pytest.mark.parametrize(
    "names",
    [
        {"user_id": "{}", "session_id": "s"},
        {"uid": "{}", "sid": "s"},
        {"owner": "{}", "session": "s"},
    ],
)
def test_115_other_spellings_of_the_ids(user: Visitor, names: dict[str, str]) -> None:
    """Same with "user_id" instead of owner_id (seed doc example) -> 200."""
    made = user.ok("POST", "/api/sessions", {name: text.format(user.owner) for name, text in names.items()})
    assert (made["owner_id"], made["session_id"]) == (user.owner, "s")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{}", REQUIRED),
        (b'{"owner_id":"u"}', REQUIRED),
        (b'{"session_id":"s"}', REQUIRED),
        (b"null", REQUIRED),
        (b"", "invalid request body"),
        (b"{", "invalid request body"),
        (b"[]", "invalid request body"),
        (b'{"owner_id":5,"session_id":"s"}', "invalid request body"),
    ],
)
def test_116_bodies_that_name_no_session(user: Visitor, body: bytes, says: str) -> None:
    """Body {} / missing session_id / null -> 400 `owner_id and session_id are required`; empty body, `{`, `[]`,
    owner_id 5 -> 400 `invalid request body`."""
    assert user.refused("POST", "/api/sessions", body) == (400, says)


def test_117_ids_from_headers(user: Visitor) -> None:
    """Body {} + X-Owner-Id/X-Session-Id -> 200."""
    made = user.ok("POST", "/api/sessions", {}, **user.id_headers)
    assert (made["owner_id"], made["session_id"]) == (user.owner, "s")


def test_118_close(user: Visitor) -> None:
    """DELETE existing -> 200 {"status":"closed"}; again or unknown -> 404 `session not found`."""
    user.create()
    assert user.close() == {"status": "closed"}
    assert user.refused("DELETE", user.path) == (404, "session not found")
    assert user.refused("DELETE", user.of("never").path) == (404, "session not found")


def test_119_paths_and_verbs_that_are_not_there(user: Visitor) -> None:
    """Unknown path 404, GET /api/sessions 405."""
    assert user.ask("GET", "/api/nothing").status == 404
    assert user.ask("GET", "/api/sessions").status == 405


# --- ids


def _by_path(who: Visitor, owner: str, session: str) -> None:
    quoted = "/".join(urllib.parse.quote(one, safe="") for one in (owner, session))
    for verb, path, body in (
        ("POST", f"/api/sessions/{quoted}/exec", {"command": "touch f"}),
        ("DELETE", f"/api/sessions/{quoted}", None),
        ("PUT", f"/api/v1/sessions/{quoted}", {}),
    ):
        assert who.refused(verb, path, body)[0] == 400, (verb, path)


def _by_body(who: Visitor, owner: str, session: str) -> None:
    assert who.refused("POST", "/api/sessions", {"owner_id": owner, "session_id": session})[0] == 400
    assert who.refused("POST", "/api/v1/sessions", {"owner": owner, "session": session})[0] == 400


def _by_websocket(who: Visitor, owner: str, session: str) -> None:
    quoted = "/".join(urllib.parse.quote(one, safe="") for one in (owner, session))
    assert who.web_end(f"/api/ws/{quoted}/shell") == 400


def _by_grpc(who: Visitor, owner: str, session: str) -> None:
    ids = {"ownerID": owner, "sessionID": session}
    with who.grpc() as rpc:
        for call in (rpc.create, rpc.close, lambda **named: rpc.exec("touch f", **named)):
            assert visitor.status(lambda call=call: call(**ids))[0] is grpc.StatusCode.INVALID_ARGUMENT


def _by_mcp(who: Visitor, owner: str, session: str) -> None:
    ids = {"owner_id": owner, "session_id": session}
    with mcp_client.opened(who) as client:
        for tool, more in (("exec", {"command": "touch f"}), ("create_session", {}), ("close_session", {})):
            assert client.refusal(tool, **ids, **more) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("by", [_by_path, _by_body, _by_websocket, _by_grpc, _by_mcp])
def test_120_no_id_leads_anywhere(served: Served, nobody: Visitor, by: Callable[[Visitor, str, str], None]) -> None:
    """Ids "", ".", "..", "a/b", "a:b", "a b", "x@y", "i;touch${IFS}f;", "a,b", "it's", NUL, 300 chars -> 400 on every
    protocol; no file appears outside that session's directory."""
    before = _everything(served)
    for bad in BAD_IDS:
        by(nobody, bad, "s")
        by(nobody, "u", bad)
    assert nobody.active() == 0
    assert _everything(served) == before


@pytest.mark.parametrize("bad", BAD_IDS)
def test_120_nor_on_the_socket(strata: Node, bad: str) -> None:
    """The same on the unix socket, to which an operator speaks."""
    for ids in ({"owner": bad, "session": "s"}, {"owner": "u", "session": bad}):
        for method, more in (("create", {}), ("exec", {"command": "touch f"}), ("close", {})):
            assert strata.refusal(f"sandbox.{method}", ids | more)[0] == 1


def _everything(served: Served) -> set[str]:
    """All that lies in Strata's own directories and where a command on the host would leave something."""
    found = {str(path) for path in served.root.parent.rglob("*")}
    return found | {str(path) for top in ("/", "/root", "/tmp", str(served.paths.runtime_dir)) for path in _named(top)}


def _named(top: str) -> Iterator[Path]:
    return (path for name in ("f", "f;") if (path := Path(top, name)).exists())


def test_121_ids_that_read_alike_when_joined_are_two_sessions(nobody: Visitor) -> None:
    """Owner "a:b"/sess "c" and owner "a"/sess "b:c" never share state: a colon is refused (vector 120), and what may
    stand in an id and in the name of a unit is kept apart."""
    for owner, session in (("a:b", "c"), ("a", "b:c")):
        assert nobody.refused("POST", "/api/sessions", {"owner_id": owner, "session_id": session})[0] == 400
    one, two = replace(nobody, owner="a-b", session="c"), replace(nobody, owner="a", session="b-c")
    assert one.out("secret=hidden; echo mine > /root/file; echo made") == "made"

    assert two.exec('echo "<$secret>"; ls /root')["output"] == "<>"
    assert one.create()["unit"] != two.create()["unit"]


def test_122_names_of_our_own_directories_are_names_like_any_other(served: Served, nobody: Visitor) -> None:
    """Owner "." or "rootfs" cannot create or delete anything outside their session."""
    victim = replace(nobody, owner="victim")
    victim.out("echo kept > /root/file")
    before = listing(served.base)
    for owner, session in (("rootfs", "victim"), ("sessions", "victim")):
        other = replace(nobody, owner=owner, session=session)
        other.exec("echo poison > /poison; rm -rf /root /usr/bin")
        assert other.close() == {"status": "closed"}
    assert nobody.refused("DELETE", "/api/sessions/./victim")[0] == 400

    assert victim.out("cat /root/file; ls /poison 2>/dev/null || echo clean") == "kept\nclean"
    assert listing(served.base) == before


def test_122_empty_ids_over_grpc_delete_nothing(nobody: Visitor) -> None:
    """Empty gRPC ids cannot create or delete anything outside their session."""
    nobody.out("echo kept > /root/file")
    with nobody.grpc() as rpc:
        for owner, session in (("", ""), ("", "s"), ("u", "")):
            for call in (rpc.create, rpc.close):
                code, _ = visitor.status(lambda call=call, ids=(owner, session): call(ownerID=ids[0], sessionID=ids[1]))
                assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert nobody.out("cat /root/file") == "kept"


def listing(top: Path) -> list[tuple[str, int, int]]:
    """Every file below: its path, when it was changed last, and its size."""
    found = [(path, path.lstat()) for path in (top, *top.rglob("*"))]
    return sorted((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in found)


# --- who may


def _http(who: Visitor, session: str) -> int:
    return who.ask("POST", f"{who.of(session).path}/exec", {"command": "true"}).status


def _web(who: Visitor, session: str) -> int:
    return who.of(session).web_end()


def _rpc(who: Visitor, session: str) -> int:
    with who.grpc() as rpc:
        code, _ = visitor.status(lambda: rpc.exec("true", sessionID=session))
    return {grpc.StatusCode.UNAUTHENTICATED: 401, grpc.StatusCode.PERMISSION_DENIED: 403}[code]


def _mcp(who: Visitor, session: str) -> int:
    if not who.token:
        return mcp_client.post(who, mcp_client.initialize()).status
    with mcp_client.opened(who) as client:
        return {"PERMISSION_DENIED": 403}[
            client.refusal("exec", command="true", owner_id=who.owner, session_id=session)
        ]


DOORS = pytest.mark.parametrize("door", [_http, _web, _rpc, _mcp])


@DOORS
def test_123_nobody_without_credentials(user: Visitor, door: Callable[[Visitor, str], int]) -> None:
    """No credentials when auth is enabled -> 401."""
    user.create()
    assert door(replace(user, token=""), "s") == 401


@DOORS
def test_123_alice_is_not_bob(strata: Node, user: Visitor, door: Callable[[Visitor, str], int]) -> None:
    """Credentials of alice on bob's session -> 403, whether it is there or not."""
    user.create()
    token = strata.issue(service="sandbox", actions=list(visitor.ACTIONS), owner="alice").token
    alice = replace(user, token=token)
    assert door(alice, "s") == 403
    assert door(alice, "never") == 403
    assert [one["session"] for one in strata.call("sandbox.list", {"owner": user.owner})["sessions"]] == ["s"]


@pytest.mark.parametrize(
    "params",
    [
        {"service": "fs", "actions": ["open"], "owner": "{}"},
        {"service": "sandbox", "actions": ["list"], "owner": "{}"},
        {"service": "sandbox", "actions": ["exec"]},
    ],
)
def test_123_a_token_for_something_else(strata: Node, user: Visitor, params: dict[str, Any]) -> None:
    """For another service, another action, or nobody's sessions: 403. `exec` alone opens no session either."""
    named = {name: text.format(user.owner) if name == "owner" else text for name, text in params.items()}
    token = strata.call("identity.issue", named)["token"]
    assert replace(user, token=token).refused("POST", f"{user.path}/exec", {"command": "true"})[0] == 403


def test_123_a_token_that_is_over(strata: Node, user: Visitor) -> None:
    """Garbage and a forged token are 401; a revoked one is refused from the moment on at which revoke returns."""
    user.create()
    for token in ("nonsense", user.token[:-4] + "AAAA"):
        assert replace(user, token=token).refused("GET", "/api/stats")[0] == 401
    issued = strata.issue(service="sandbox", actions=["stats"], owner=user.owner)
    revoked = replace(user, token=issued.token)
    assert revoked.ask("GET", "/api/stats").status == 200
    strata.call("identity.revoke", {"cap_id": issued.cap_id})
    assert revoked.refused("GET", "/api/stats")[0] == 403


def test_123_lists_hold_what_is_ones_own(strata: Node, user: Visitor) -> None:
    """Another owner's sessions are not even listed, and asking for them is 403."""
    user.create()
    token = strata.issue(service="sandbox", actions=list(visitor.ACTIONS), owner="alice").token
    alice = replace(user, token=token)
    assert {one["owner"] for one in alice.ok("GET", "/api/v1/sessions")["sessions"]} <= {"alice"}
    assert alice.refused("GET", f"/api/v1/sessions?owner={user.owner}")[0] == 403


@pytest.mark.parametrize("headers", [{"x_owner_id": "bob"}, {"x_session_id": "other"}])
def test_123_a_header_that_differs_from_the_path(strata: Node, user: Visitor, headers: dict[str, str]) -> None:
    """Header differing from path -> 400; nothing is opened under either name."""
    assert user.refused("POST", f"{user.path}/exec", {"command": "true"}, **headers)[0] == 400
    assert user.refused("DELETE", user.path, **headers)[0] == 400
    assert strata.call("sandbox.list", {"owner": user.owner})["sessions"] == []


# --- how many, how long


def test_124_one_more_than_there_may_be(nobody: Visitor) -> None:
    """Max sessions N: creation N+1 refused with message `max sessions (N) reached` (429); existing sessions still
    usable; slot freed after DELETE."""
    for number in range(serving.MOST):
        nobody.of(f"s{number}").create()
    for path, body in (("/api/sessions", {"owner_id": "u", "session_id": "more"}), (f"{nobody.path}/exec", _TRUE)):
        status, says = nobody.refused("POST", path, body)
        assert (status, f"max sessions ({serving.MOST}) reached" in says) == (429, True)
    assert nobody.of("s0").out("echo usable") == "usable"
    assert nobody.of("s1").create()["created"] is False

    nobody.of("s0").close()
    assert nobody.of("more").create()["created"] is True


_TRUE = {"command": "true"}


def test_125_the_same_ids_at_once(user: Visitor) -> None:
    """DELETE then immediate POST same ids, write file, wait 1 s -> file still there."""
    user.out("echo old > /root/old")
    user.close()
    user.create()
    assert user.out("ls /root; echo new > /root/new; sleep 1; ls /root") == "new"


def test_126_an_idle_session_goes(served: Served, nobody: Visitor) -> None:
    """TTL 5 s and idle -> session gone within TTL+5 s, directories removed."""
    begun = time.monotonic()
    nobody.out("echo file > /root/file")
    directory = served.root / "sessions/u/s"
    assert directory.is_dir()
    until(lambda: not directory.exists(), "its directory is gone", serving.TTL_SECONDS + 5)
    assert time.monotonic() - begun > serving.TTL_SECONDS - 0.5
    until(lambda: nobody.active() == 0, "it is not counted")
    assert visitor.command_lines("u", "s") == []


def test_127_a_running_exec_keeps_it_alive(user: Visitor) -> None:
    """A running exec keeps the session alive past TTL, also a silent one."""
    made = user.create(ttl="1s")
    assert user.out("sleep 2.5; echo still") == "still"
    assert user.create()["created_at"] == made["created_at"]


def test_127_an_attached_shell_keeps_it_alive(strata: Node, user: Visitor) -> None:
    """An attached shell keeps the session alive past TTL, even when nothing is typed; it goes after that."""
    user.create(ttl="1s")
    directory = strata.manager.paths.state_dir / "sandbox/sessions" / user.owner / "s"
    with user.web() as shell:
        shell.type("echo on\n")
        shell.until(r"[\r\n]on\r")
        over = time.monotonic() + 2.5
        until(lambda: time.monotonic() > over or not directory.exists(), "TTL has passed twice")
        assert directory.exists()
        shell.type("echo and still on\n")
        shell.until(r"[\r\n]and still on\r")
    until(lambda: not directory.exists(), "the session is gone", 6)


@pytest.mark.timeout(120)
def test_128_sigterm_leaves_nothing(served: Served) -> None:
    """SIGTERM leaves no mounts, no bwrap processes, no stale dirs."""
    _inhabit(served)
    assert served.terminate() == 0, served.said
    assert _left(served) == []


@pytest.mark.timeout(120)
def test_128_sigkill_then_restart_leaves_nothing(served: Served) -> None:
    """SIGKILL of everything at once, then restart, leaves no mounts, no bwrap processes, no stale dirs, and the same
    ids work."""
    _inhabit(served)
    served.kill()
    served.start()
    nobody = served.visitor()
    assert nobody.active() == 0
    assert _left(served) == []
    assert nobody.out("ls /root; echo new") == "new"


def _inhabit(served: Served) -> None:
    """Sessions with a shell, a run in the background and an overlay."""
    for name in ("one", "two"):
        session = served.visitor(session=name)
        session.out("touch /data; sleep 1000 & echo on")
    assert len(_left(served)) > 6


def _left(served: Served) -> list[str]:
    """Processes, directories, loop devices and mounts of sessions of that server."""
    processes = [line for name in ("one", "two") for line in visitor.command_lines("u", name)]
    directories = [str(path) for path in (served.root / "sessions").glob("*/*")]
    loops = [
        text for path in Path("/sys/block").glob("loop*/loop/backing_file") if str(served.root) in (text := _text(path))
    ]
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(served.root) in line]
    return processes + directories + loops + mounts


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has just gone
        return ""


# --- side by side


def test_129_ten_at_once(user: Visitor) -> None:
    """Creating 10 sessions in parallel is not serialised: the reference takes 0.2 s for each, one after the other."""
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        begun = time.monotonic()
        made = list(pool.map(lambda number: user.of(f"p{number}").create(), range(10)))
        took = time.monotonic() - begun
    assert all(one["created"] for one in made)
    assert took < 1.5, f"ten sessions took {took:.2f} s"


def test_129_a_stuck_session_delays_nobody(user: Visitor) -> None:
    """A stuck session does not delay GET /api/stats, nor another session: one is frozen in the middle of an exec, and
    more wait in it."""
    user.create()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(user.exec, "sleep 0.2; echo thawed", 15_000) for _ in range(3)]
        until(lambda: any("sleep 0.2" in line for line in visitor.command_lines(user.owner, "s")), "an exec runs")
        user.ok("POST", f"/api/v1/sessions/{user.owner}/s/freeze")
        try:
            for question in (user.active, lambda: user.of("other").out("echo quick")):
                begun = time.monotonic()
                question()
                assert time.monotonic() - begun < 1.0
            assert not any(one.done() for one in asked[1:])
        finally:
            user.ok("POST", f"/api/v1/sessions/{user.owner}/s/thaw")
        assert [one.result()["output"] for one in asked] == ["thawed"] * 3


# --- web pages


@pytest.mark.parametrize("path", ["", "/api/ws/shell"])
def test_130_a_web_page_cannot_open_a_shell(nobody: Visitor, path: str) -> None:
    """Cross-origin WebSocket refused by default, though nobody needs a token here."""
    with pytest.raises(InvalidStatus) as refused, nobody.web(path, Origin=FOREIGN, **nobody.id_headers):
        pass
    assert refused.value.response.status_code == 403
    assert nobody.active() == 0


def test_130_a_web_page_cannot_post(nobody: Visitor) -> None:
    """Cross-origin POST refused by default; so is one to a name that was made to point here."""
    for headers in ({"Origin": FOREIGN}, {"Origin": "null"}, {"Host": "evil.example"}):
        assert nobody.refused("POST", f"{nobody.path}/exec", _TRUE, **headers)[0] == 403
        assert nobody.refused("POST", "/mcp/", mcp_client.initialize(), **headers)[0] == 403
    assert nobody.active() == 0
    assert nobody.ask("POST", f"{nobody.path}/exec", _TRUE, Origin=f"http://{nobody.address}").status == 200


def test_130_by_default_it_listens_on_loopback(tmp_path: Path) -> None:
    """Default bind is loopback, and auth is required there."""
    settings = config.load(Paths(tmp_path, tmp_path, tmp_path), {})
    assert settings.api.address == "127.0.0.1:2280"
    assert not settings.api.insecure_no_auth


@pytest.mark.parametrize("address", ["0.0.0.0:2299", ":2299", "[::]:2299"])
def test_130_elsewhere_credentials_are_needed(address: str, tmp_path: Path) -> None:
    """No server on all interfaces without auth: exit 1 before anything starts."""
    environment = os.environ | {
        "STRATA_SERVER_ADDR": address,
        "STRATA_RUNTIME_DIR": str(tmp_path / "run"),
        "STRATA_STATE_DIR": str(tmp_path / "state"),
        "STRATA_CONFIG_DIR": str(tmp_path / "etc"),
    }
    said = serving.refused(environment, "--insecure-no-auth")
    assert said.returncode == 1
    assert "loopback" in said.stderr
    assert list(tmp_path.iterdir()) == []


def test_130_every_way_in_knows_the_same_sessions(user: Visitor, strata: Node) -> None:
    """One session through HTTP, gRPC, MCP and the socket: what one does the others see."""
    user.out("echo http > /root/a; place=here")
    with user.grpc() as rpc:
        assert rpc.exec("cat /root/a; echo $place").output == "http\nhere"
    with mcp_client.opened(user) as client:
        assert client.text("exec", command="echo $place", **user.ids) == "here"
    answer = wire.result(
        strata.ask("sandbox.exec", {"owner": user.owner, "session": "s", "command": "echo $place"}, token=user.token)
    )
    assert answer["output"] == "here"
