# SPDX-License-Identifier: MIT
"""Identity over its real socket, as a process of its own where its end matters: what it signs, whom, and what lasts."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rooms import DEADLINE, Journal, Served, as_stranger, directory, listening_journal, served

from strata.config import IdentitySettings, Settings
from strata.errors import (
    Conflict,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    StrataError,
    Unauthenticated,
    Unavailable,
)
from strata.identity import keys, main, revocations, seed
from strata.paths import Paths
from strata.policy.feed import following
from strata.policy.token import FORMATS, public_key, verify
from strata.policy.trust import Trust
from strata.sockets import async_client, frame
from strata.sockets.client import Client

HEX = re.compile(r"[0-9a-f]{32}")
FS = {"service": "fs", "actions": ["open", "read"], "path_prefix": "/srv"}


@contextlib.contextmanager
def in_here(made: Path, settings: Settings | None = None) -> Iterator[Served]:
    paths = Paths(made, made, made)
    with served(lambda: main.compose(paths, settings or Settings()), paths.socket("identity")) as up:
        yield up


@pytest.fixture
def made() -> Iterator[Path]:
    with directory() as found:
        yield found


@pytest.fixture
def identity(made: Path) -> Iterator[Served]:
    with in_here(made) as up:
        yield up


@pytest.fixture
def journal(made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    with listening_journal(monkeypatch, made / "journal") as heard:
        yield heard


class Process:
    """`python -m strata.identity.main` with a state directory of its own."""

    def __init__(self, made: Path, **env: str) -> None:
        self.path = made / "identity.sock"
        names = dict.fromkeys(("STRATA_RUNTIME_DIR", "STRATA_STATE_DIR", "STRATA_CONFIG_DIR"), str(made))
        clean = {name: value for name, value in os.environ.items() if not name.startswith("STRATA_")}
        self._running = subprocess.Popen(
            [sys.executable, "-m", "strata.identity.main"], env=clean | names | env, stderr=subprocess.PIPE, text=True
        )
        self.pid = self._running.pid

    def up(self) -> Process:
        wait_for(lambda: self._answers() or self._running.poll() is not None)
        assert self._running.poll() is None, self._running.communicate()[1]
        return self

    def call(self, method: str, token: str = "", /, **params: Any) -> Any:
        with Client(self.path, timeout=DEADLINE) as client:
            return client.call(method, params, token)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit code and what it said."""
        with contextlib.suppress(ProcessLookupError):
            self._running.send_signal(number)
        return self.said()

    def said(self) -> tuple[int, str]:
        said = self._running.communicate(timeout=DEADLINE)[1]
        return self._running.returncode, said

    def _answers(self) -> bool:
        try:
            with Client(self.path, timeout=DEADLINE) as client:
                client.call("identity.keys")
        except Unavailable:
            return False
        return True


@contextlib.contextmanager
def process(made: Path, **env: str) -> Iterator[Process]:
    started = Process(made, **env)
    try:
        yield started.up()
    finally:
        started.end(signal.SIGKILL)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def message(token: str) -> dict[str, Any]:
    body = token.split(".")[2]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))[:-64])
    return found


def state(token: str, at: Served | Process) -> str:
    """`active`, or why it is not."""
    explained = at.call("identity.introspect", token=token)
    return "active" if explained["active"] else explained["reason"]


# --- issue


def test_024_025_a_token_says_what_was_asked_for(identity: Served) -> None:
    before = int(time.time())
    issued = identity.call("identity.issue", service="fs", actions=["open"])
    said = message(issued["token"])
    assert issued["token"].startswith("v2.public.")
    assert HEX.fullmatch(issued["cap_id"])
    assert before + 3600 <= issued["expires"] <= time.time() + 3600
    assert list(said) == ["jti", "sub", "iat", "exp", "service", "actions", "constraints", "iss", "aud"]
    assert (said["jti"], said["sub"], said["service"]) == (issued["cap_id"], "capability", "fs")
    assert (said["actions"], said["constraints"]) == (["open"], {})
    assert (said["iss"], said["aud"]) == ("identity@local-0", "strata")


def test_027_constraints_appear_when_given(identity: Served) -> None:
    token = identity.call("identity.issue", **FS, rate_limit=" 5rps")["token"]
    assert message(token)["constraints"] == {"path_prefix": "/srv", "rate_limit": "5rps"}


@pytest.mark.parametrize("version", FORMATS)
def test_028_the_published_key_of_its_version_alone_verifies_it(identity: Served, version: str) -> None:
    token = identity.call("identity.issue", **FS, ttl_seconds=77, format=version)["token"]
    published = [key for key in identity.call("identity.keys")["keys"] if key["current"]]
    assert sorted(key["version"] for key in published) == sorted(FORMATS)
    claims = verify(token, [public_key(key["version"], key["key"]) for key in published if key["version"] == version])
    assert claims.exp - claims.iat == 77 * 10**9
    assert published[0]["key"] != published[1]["key"]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "missing service param"),
        ({"service": 5}, "missing service param"),
        ({"service": "fs"}, "actions or rights required"),
        ({"service": "fs", "actions": []}, "actions or rights required"),
        ({"service": "fs", "actions": "open"}, "actions or rights required"),
        ({"service": "fs", "actions": [7]}, "actions or rights required"),
        ({"service": "fs", "actions": ["open", 7]}, "actions must be a list of non-empty strings"),
        (FS | {"path_prefix": "srv"}, "path_prefix"),
        (FS | {"path_prefix": "/a/../b"}, "path_prefix"),
        (FS | {"path_prefix": "/a\0"}, "path_prefix"),
        (FS | {"path_prefix": 7}, "path_prefix must be a string"),
        (FS | {"rate_limit": "50rpm"}, "unparseable rate limit"),
        (FS | {"rate_limit": "NaNrps"}, "unparseable rate limit"),
        (FS | {"rate_limit": "Infrps"}, "unparseable rate limit"),
        (FS | {"rate_limit": "0rps"}, "unparseable rate limit"),
        (FS | {"ttl_seconds": "60"}, "ttl_seconds must be a number"),
        (FS | {"ttl_seconds": True}, "ttl_seconds must be a number"),
        (FS | {"ttl_seconds": 0.5}, "ttl_seconds must lie between"),
        (FS | {"ttl_seconds": 1e10}, "ttl_seconds must lie between"),
        (FS | {"ttl_seconds": 1e300}, "ttl_seconds must lie between"),
        (FS | {"ttl_seconds": 30 * 86400 + 1}, "ttl_seconds must lie between"),
        (FS | {"format": "v1.public"}, "format must be one of"),
        (FS | {"actions": [f"{number:0100}" for number in range(200)]}, "more than 16384 characters"),
    ],
)
def test_031_033_039_what_cannot_be_issued_is_refused_and_told_why(
    identity: Served, params: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(said)):
        identity.call("identity.issue", **params)


@pytest.mark.parametrize("ttl", [0, -4, None])
def test_032_no_ttl_means_the_default(identity: Served, ttl: Any) -> None:
    expires = identity.call("identity.issue", **FS, ttl_seconds=ttl)["expires"]
    assert abs(expires - time.time() - 3600) < 60


def test_041_a_stranger_may_not_issue_nor_rotate_nor_revoke(identity: Served) -> None:
    for method, params in (("issue", FS), ("rotate", {}), ("revoke", {"cap_id": "x"})):
        error = as_stranger(identity.path, f"identity.{method}", **params)["error"]
        assert (error["code"], error["message"]) == (2, "token required")


def test_an_issuing_token_lets_a_stranger_issue_within_it(identity: Served) -> None:
    held = identity.call(
        "identity.issue", service="identity", rights=["identity.issue", "fs.open"], path_prefix="/srv", ttl_seconds=600
    )
    within = {"service": "fs", "actions": ["open"], "path_prefix": "/srv/a"}
    issued = as_stranger(identity.path, "identity.issue", held["token"], **within)["result"]
    assert issued["expires"] <= held["expires"]
    assert message(issued["token"])["parents"] == [held["cap_id"]]
    wider = as_stranger(identity.path, "identity.issue", held["token"], **(within | {"actions": ["write"]}))
    assert (wider["error"]["code"], "fs.write" in wider["error"]["message"]) == (3, True)
    identity.call("identity.revoke", cap_id=held["cap_id"])
    assert state(issued["token"], identity) == "capability revoked"


# --- attenuate, introspect, revoke


def test_037_introspection_explains_a_token_and_refuses_garbage(identity: Served) -> None:
    issued = identity.call("identity.issue", **FS)
    explained = identity.call("identity.introspect", token=issued["token"])
    assert explained["active"]
    assert explained["claims"] == message(issued["token"])
    with pytest.raises(Unauthenticated, match=r"^invalid token: "):
        identity.call("identity.introspect", token="garbage")


@pytest.mark.parametrize("version", FORMATS)
def test_whoever_holds_a_token_makes_a_narrower_one(identity: Served, version: str) -> None:
    parent = identity.call("identity.issue", **FS, format=version)
    child = as_stranger(
        identity.path, "identity.attenuate", token=parent["token"], actions=["read"], path_prefix="/srv/a"
    )["result"]
    said = message(child["token"])
    assert child["token"].startswith(version)
    assert (said["actions"], said["parents"]) == (["read"], [parent["cap_id"]])
    assert said["constraints"] == {"path_prefix": "/srv/a", "path_root": "/srv"}
    assert child["expires"] == parent["expires"]


@pytest.mark.parametrize(
    ("wanted", "kind"),
    [
        ({"actions": ["write"]}, PermissionDenied),
        ({"path_prefix": "/"}, PermissionDenied),
        ({"ttl_seconds": 4000}, PermissionDenied),
        ({"actions": []}, InvalidArgument),
        ({"rights": "fs.open"}, InvalidArgument),
        ({"ttl_seconds": "9"}, InvalidArgument),
    ],
)
def test_a_wider_or_odd_child_is_refused(identity: Served, wanted: dict[str, Any], kind: type[StrataError]) -> None:
    token = identity.call("identity.issue", **FS)["token"]
    with pytest.raises(kind):
        identity.call("identity.attenuate", token=token, **wanted)


def test_036_revoking_is_idempotent_and_asks_no_questions(identity: Served) -> None:
    cap_id = identity.call("identity.issue", **FS)["cap_id"]
    for which in (cap_id, cap_id, "never heard of"):
        assert identity.call("identity.revoke", cap_id=which) == {"status": "revoked"}
    for params in ({}, {"cap_id": ""}, {"cap_id": 5}):
        with pytest.raises(InvalidArgument, match=r"^missing cap_id param$"):
            identity.call("identity.revoke", **params)
    with pytest.raises(InvalidArgument, match="at most 128"):
        identity.call("identity.revoke", cap_id="x" * 129)


def test_revoking_a_parent_revokes_its_tree_but_not_its_own_parent(identity: Served) -> None:
    tokens = [identity.call("identity.issue", **FS)]
    tokens += [identity.call("identity.attenuate", token=tokens[0]["token"])]
    tokens += [identity.call("identity.attenuate", token=tokens[1]["token"])]
    identity.call("identity.revoke", cap_id=tokens[1]["cap_id"])
    assert [state(made["token"], identity) for made in tokens] == ["active", *["capability revoked"] * 2]
    with pytest.raises(PermissionDenied, match="revoked"):
        identity.call("identity.attenuate", token=tokens[2]["token"])


def test_a_holder_may_revoke_his_own_and_what_descends_from_it_only(identity: Served) -> None:
    mine, other = identity.call("identity.issue", **FS), identity.call("identity.issue", **FS)
    child = identity.call("identity.attenuate", token=mine["token"])

    def revoke(cap_id: str, by: str, **params: str) -> int:
        reply = as_stranger(identity.path, "identity.revoke", by, cap_id=cap_id, **params)
        return 0 if reply["ok"] else reply["error"]["code"]

    assert revoke(other["cap_id"], mine["token"]) == 3
    assert revoke(mine["cap_id"], child["token"]) == 3
    assert revoke(other["cap_id"], mine["token"], token=child["token"]) == 3
    assert revoke(child["cap_id"], mine["token"], token=child["token"]) == 0
    assert revoke(mine["cap_id"], mine["token"]) == 0
    assert state(other["token"], identity) == "active"


def test_a_holder_cannot_fill_the_list_of_what_is_revoked(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor keep the others from it, nor by having identity start anew; and the whole family can always be ended."""
    monkeypatch.setattr(revocations, "MOST_PER_FAMILY", 2)

    def child(up: Served) -> dict[str, Any]:
        found: dict[str, Any] = up.call("identity.attenuate", token=mine["token"], actions=["open"])
        return found

    def revoke(up: Served, cap: dict[str, Any], by: str) -> int:
        reply = as_stranger(up.path, "identity.revoke", by, cap_id=cap["cap_id"], token=cap["token"])
        return 0 if reply["ok"] else reply["error"]["code"]

    with in_here(made) as up:
        mine, other = up.call("identity.issue", **FS), up.call("identity.issue", **FS)
        assert [revoke(up, child(up), mine["token"]) for _ in range(3)] == [0, 0, 7]
        own = child(up)
        assert revoke(up, own, own["token"]) == 7
    with in_here(made) as up:
        assert revoke(up, child(up), mine["token"]) == 7
        assert revoke(up, other, other["token"]) == 0
        up.call("identity.revoke", cap_id=own["cap_id"])
        assert revoke(up, mine, mine["token"]) == 0


def test_a_name_given_many_times_stands_in_the_token_once(identity: Served) -> None:
    token = identity.call("identity.issue", service="fs", actions=["open", "read"] * 50)["token"]
    again = identity.call("identity.attenuate", token=token, actions=["open"] * 500)["token"]
    assert identity.call("identity.introspect", token=again)["claims"]["actions"] == ["open"]


def test_083_audit_records_name_the_capability_and_never_the_token(journal: Journal, made: Path) -> None:
    with in_here(made) as identity:
        issued = identity.call("identity.issue", **FS)
        record = journal.wait_for("cap.issued", cap_id=issued["cap_id"], subject=f"uid:{os.geteuid()}", resource="/srv")
        assert record["STRATA_REQ_ID"]
        identity.call("identity.revoke", cap_id=issued["cap_id"])
        journal.wait_for("cap.revoked", cap_id=issued["cap_id"])
        with pytest.raises(PermissionDenied):
            identity.call("identity.attenuate", token=issued["token"])
        record = journal.wait_for("auth.denied", cap_id=issued["cap_id"], action="identity.attenuate")
        identity.call("identity.rotate")
        assert "k2.pid." in journal.wait_for("key.rotated")["STRATA_RESOURCE"]
        assert issued["token"][20:60] not in str(journal._seen)


# --- keys


def test_rotation_signs_with_new_keys_and_the_old_ones_still_verify(identity: Served) -> None:
    old = identity.call("identity.issue", **FS)["token"]
    before = {key["id"] for key in identity.call("identity.keys")["keys"]}
    rotated = identity.call("identity.rotate")
    current = {key["id"] for key in rotated["keys"] if key["current"]}
    assert current.isdisjoint(before)
    assert before <= {key["id"] for key in rotated["keys"]}
    new = identity.call("identity.issue", **FS)["token"]
    assert [state(token, identity) for token in (old, new)] == ["active", "active"]


def test_a_leaked_key_is_dropped_at_once(identity: Served) -> None:
    old = identity.call("identity.issue", **FS)["token"]
    assert len(identity.call("identity.rotate", overlap_seconds=0)["keys"]) == 2
    with pytest.raises(Unauthenticated, match="invalid signature"):
        identity.call("identity.introspect", token=old)


def test_rotations_without_end_are_refused(identity: Served) -> None:
    for _ in range(keys.MOST_RETIRED // 2):
        identity.call("identity.rotate")
    before = identity.call("identity.keys")
    with pytest.raises(ResourceExhausted, match="overlap_seconds 0"):
        identity.call("identity.rotate")
    assert identity.call("identity.keys") == before


def test_an_old_key_dies_with_its_overlap(made: Path) -> None:
    now = [1000.0]
    store = keys.KeyStore(made, 100, clock=lambda: now[0])
    old = store.current()
    store.rotate()
    assert set(old) <= set(store.verifying())
    now[0] += 100
    assert store.verifying() == store.current()
    assert set(old) <= set(keys.KeyStore(made, 100, clock=lambda: now[0] - 50).verifying())


def test_private_keys_are_for_the_owner_only_and_retired_ones_are_not_kept(made: Path) -> None:
    store = keys.KeyStore(made, 100)
    store.rotate()
    assert (made / keys.FILE).stat().st_mode & 0o777 == 0o600
    kept = json.loads((made / keys.FILE).read_bytes())["keys"]
    assert [bool(key.get("seed")) for key in kept] == [True, True, False, False]
    assert os.listdir(made) == [keys.FILE]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: file.write_bytes(b""), "cannot read .*keys.json"),
        (lambda file: file.write_bytes(file.read_bytes()[:-30]), "cannot read .*keys.json"),
        (lambda file: file.write_text('{"keys":[]}'), "one current key for each"),
        (lambda file: file.write_text(file.read_text().replace('"seed":"', '"seed":"AAAA')), "does not fit"),
        (lambda file: file.chmod(0o644), "others may read it"),
        (lambda file: file.unlink(), "has revocations.jsonl but no keys.json"),
        (lambda file: (file.parent / revocations.FILE).unlink(), "has keys.json but no revocations.jsonl"),
    ],
)
def test_damaged_state_refuses_to_start_and_is_left_as_it_is(
    made: Path, damage: Callable[[Path], Any], said: str
) -> None:
    with in_here(made) as up:
        up.call("identity.revoke", cap_id="x")
    damage(made / "identity" / keys.FILE)
    before = {file: file.read_bytes() for file in (made / "identity").iterdir()}
    for _ in range(2):
        code, told = Process(made).said()
        assert code == 1
        assert re.search(said, told)
        assert len(told.splitlines()) == 1
        assert "begin anew" in told or "chmod" in told
    assert {file: file.read_bytes() for file in (made / "identity").iterdir()} == before


def test_a_key_from_a_systemd_credential_is_never_written(made: Path) -> None:
    seed = bytes(range(32))
    (made / "identity.key").write_bytes(base64.b64encode(seed) + b"\n")
    with process(made, CREDENTIALS_DIRECTORY=str(made)) as identity:
        token = identity.call("identity.issue", **FS)["token"]
        with pytest.raises(Conflict, match="credential"):
            identity.call("identity.rotate")
    assert not any(key.get("seed") for key in json.loads((made / "identity" / keys.FILE).read_bytes())["keys"])
    with process(made, CREDENTIALS_DIRECTORY=str(made)) as identity:
        assert state(token, identity) == "active"
    (made / "identity.key").write_bytes(bytes(32))
    with process(made, CREDENTIALS_DIRECTORY=str(made)) as identity:
        assert state(token, identity) == "active"
    (made / "identity.key").unlink()
    code, told = Process(made, CREDENTIALS_DIRECTORY=str(made)).said()
    assert (code, "name its file with identity.key_file" in told) == (1, True)


SEED = bytes(range(1, 33))


@pytest.mark.parametrize(
    "written", [SEED, base64.b64encode(SEED), SEED.hex().encode() + b"\n", SEED.hex().upper().encode()]
)
def test_the_same_seed_raw_in_base64_or_in_digits_is_the_same_key(made: Path, written: bytes) -> None:
    (made / seed.CREDENTIAL).write_bytes(written)
    assert seed.handed_over(str(made)) == SEED


@pytest.mark.parametrize("written", [b"", b"short", b"g" * 64, SEED.hex().encode()[1:], SEED + b"\n", b"=" * 44])
def test_a_credential_that_is_no_seed_refuses_to_start(made: Path, written: bytes) -> None:
    (made / "identity.key").write_bytes(written)
    code, told = Process(made, CREDENTIALS_DIRECTORY=str(made)).said()
    assert (code, len(told.splitlines()), "seed of 32 bytes" in told) == (1, 1, True)


def with_key_file(made: Path, mode: int) -> Path:
    """A seed where the settings say, and as systemd hands it over."""
    source = made / "outside.key"
    source.write_bytes(SEED)
    source.chmod(mode)
    (made / "strata.toml").write_text(f'[identity]\nkey_file = "{source}"\n')
    return source


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620])
def test_a_key_file_that_others_may_read_or_change_refuses_to_start(made: Path, mode: int) -> None:
    source = with_key_file(made, mode)
    (made / "identity.key").write_bytes(SEED)
    code, told = Process(made, CREDENTIALS_DIRECTORY=str(made)).said()
    assert (code, len(told.splitlines()), f"chmod 600 {source}" in told) == (1, 1, True)


def test_a_key_file_that_was_not_handed_over_is_not_replaced_by_keys_of_our_own(made: Path) -> None:
    with_key_file(made, 0o600)
    code, told = Process(made).said()
    assert (code, "handed over no credential" in told) == (1, True)
    assert not (made / "identity" / keys.FILE).exists()


def test_another_seed_signs_and_the_old_key_verifies_as_after_a_rotation(made: Path) -> None:
    source = with_key_file(made, 0o640)
    (made / "identity.key").write_bytes(SEED)
    with process(made, CREDENTIALS_DIRECTORY=str(made)) as identity:
        before = {key["id"] for key in identity.call("identity.keys")["keys"]}
        with pytest.raises(Conflict, match=r"write a new seed .* `strata-ctl restart identity`"):
            identity.call("identity.rotate")
    source.write_bytes(bytes(32))
    (made / "identity.key").write_bytes(bytes(32))
    with process(made, CREDENTIALS_DIRECTORY=str(made)) as identity:
        after = {key["id"]: key["current"] for key in identity.call("identity.keys")["keys"]}
    assert before < after.keys()
    assert not any(after[name] for name in before)
    assert sum(after.values()) == len(before)


def test_two_identities_do_not_share_a_state_directory(made: Path) -> None:
    with process(made) as first:
        code, told = Process(made, STRATA_RUNTIME_DIR=str(made / "identity")).said()
        assert (code, "another identity service" in told) == (1, True)
        assert first.call("identity.keys")


# --- what lasts


def test_040_tokens_keys_and_revocations_survive_a_restart(made: Path) -> None:
    with process(made) as identity:
        live, dead = identity.call("identity.issue", **FS), identity.call("identity.issue", **FS)
        identity.call("identity.revoke", cap_id=dead["cap_id"])
        identity.call("identity.rotate")
        before = identity.call("identity.keys")
        assert identity.end()[0] == 0
    with process(made) as identity:
        assert identity.call("identity.keys") == before
        assert state(live["token"], identity) == "active"
        assert state(dead["token"], identity) == "capability revoked"


def test_a_revocation_survives_kill_9_before_its_answer(made: Path) -> None:
    with process(made) as identity:
        cap = identity.call("identity.issue", **FS)
        with Client(identity.path, DEADLINE) as verifier, Client(identity.path, DEADLINE) as revoker:
            # A verifier that never confirms keeps the answer back for a second: the kill comes before it.
            verifier.call("identity.revocations", {"verifier": "silent"})
            revoker._send("identity.revoke", {"cap_id": cap["cap_id"]}, "", "")
            wait_for(lambda: cap["cap_id"] in (made / "identity" / revocations.FILE).read_text())
            identity.end(signal.SIGKILL)
            with pytest.raises(Unavailable):
                revoker._receive()
    with process(made) as identity:
        assert state(cap["token"], identity) == "capability revoked"


@pytest.mark.parametrize("torn", [b'{"cap_id":"half', b"\0" * 512, b'{"cap_id":5}\n'])
def test_a_torn_last_line_is_told_and_the_rest_counts(made: Path, torn: bytes) -> None:
    with in_here(made) as up:
        cap = up.call("identity.issue", **FS)
        up.call("identity.revoke", cap_id=cap["cap_id"])
    file = made / "identity" / revocations.FILE
    file.write_bytes(file.read_bytes() + torn)
    with process(made) as identity:
        assert state(cap["token"], identity) == "capability revoked"
        identity.call("identity.revoke", cap_id="next")
        assert "torn line" in identity.end()[1]
    with process(made) as identity:
        assert set(identity.call("identity.revocations")["revoked"]) == {cap["cap_id"], "next"}


@pytest.mark.parametrize("place", [0, 1])
def test_a_damaged_line_before_the_last_refuses_to_start(made: Path, place: int) -> None:
    with in_here(made) as up:
        for cap_id in ("a", "b"):
            up.call("identity.revoke", cap_id=cap_id)
    file = made / "identity" / revocations.FILE
    lines = file.read_bytes().splitlines(keepends=True)
    lines[place] = b"garbage\n"
    file.write_bytes(b"".join(lines))
    code, told = Process(made).said()
    assert (code, "cannot read" in told, "revive" in told) == (1, True, True)


def test_on_a_full_disk_a_revocation_counts_at_once_and_says_that_it_may_not_last(made: Path) -> None:
    with process(made) as identity:
        cap = identity.call("identity.issue", **FS)
        file = made / "identity" / revocations.FILE
        # A file may not grow any more: EFBIG in the middle of the line, as ENOSPC would come.
        resource.prlimit(identity.pid, resource.RLIMIT_FSIZE, (file.stat().st_size + 10, resource.RLIM_INFINITY))
        with pytest.raises(ResourceExhausted, match=r"in force until a restart.*free some space"):
            identity.call("identity.revoke", cap_id=cap["cap_id"])
        assert state(cap["token"], identity) == "capability revoked"
        resource.prlimit(identity.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert identity.call("identity.revoke", cap_id="next") == {"status": "revoked"}
    with process(made) as identity:
        assert set(identity.call("identity.revocations")["revoked"]) == {cap["cap_id"], "next"}


def test_on_a_full_disk_a_rotation_changes_nothing(made: Path) -> None:
    with process(made) as identity:
        before = identity.call("identity.keys")
        resource.prlimit(identity.pid, resource.RLIMIT_FSIZE, (20, resource.RLIM_INFINITY))
        with pytest.raises(ResourceExhausted, match="free some space"):
            identity.call("identity.rotate")
        assert identity.call("identity.keys") == before
        assert sorted(os.listdir(made / "identity")) == [keys.FILE, revocations.FILE]
    with process(made) as identity:
        assert identity.call("identity.keys") == before


def test_a_full_disk_at_the_first_start_leaves_nothing_half_done(made: Path) -> None:
    code = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (60, 60))\n"
    code += "from strata.identity import main; sys.exit(main.main())"
    env = os.environ | dict.fromkeys(("STRATA_RUNTIME_DIR", "STRATA_STATE_DIR", "STRATA_CONFIG_DIR"), str(made))
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert (done.returncode, "free some space" in done.stderr) == (1, True)
    with process(made) as identity:
        assert identity.call("identity.issue", **FS)


def opened(made: Path, now: float, max_ttl: int = 100) -> revocations.Revocations:
    return revocations.Revocations(made / revocations.FILE, max_ttl, clock=lambda: now, compact_from=1)


def test_what_can_matter_no_more_is_dropped_at_start_and_revisions_go_on(made: Path) -> None:
    journal = opened(made, 1000.0)
    journal.add("old")
    asyncio.run(journal.save())
    journal.close()
    late = 1000.0 + 100 + revocations.MARGIN
    for now, kept in ((late - 1, {"old"}), (late + 1, set())):
        journal = opened(made, now, max_ttl=1)  # a maximum that was lowered since does not shorten older tokens
        assert (journal.cap_ids(), journal.revision) == (kept, 2)
        journal.close()
    journal = opened(made, late + 2)
    assert journal.add("new") == 3
    asyncio.run(journal.save())
    journal.close()
    again = opened(made, late + 3)
    assert (again.revision, again.page(2)) == (3, revocations.Page(3, ("new",), False, False))
    again.close()


def test_a_clock_that_is_years_ahead_for_one_start_revives_nothing(made: Path) -> None:
    file = made / revocations.FILE
    journal = revocations.Revocations(file, 100, clock=lambda: 1000.0)
    journal.add("x")
    asyncio.run(journal.save())
    journal.close()
    for now in (1e9, 1001.0):
        journal = revocations.Revocations(file, 100, clock=lambda: now)  # noqa: B023
        assert journal.cap_ids() == {"x"}
        journal.close()


# --- verifiers


def test_long_lists_come_in_pages(made: Path) -> None:
    journal = opened(made, 0.0)
    for number in range(revocations.PAGE + 1):
        journal.add(f"c{number}")
    first = journal.page(0)
    assert (len(first.cap_ids), first.reset, first.more) == (revocations.PAGE, True, True)
    assert journal.page(first.revision) == revocations.Page(
        revocations.PAGE + 2, (f"c{revocations.PAGE}",), False, False
    )
    assert journal.page(99_999).reset
    journal.close()


def test_the_longest_page_fits_a_frame(identity: Served) -> None:
    with identity.client() as client:
        for number in range(revocations.PAGE):
            client.call("identity.revoke", {"cap_id": f"{number:04d}" + "\x01" * 124})
        reply = client.exchange("identity.revocations", {"since": 0})
    assert len(reply["result"]["revoked"]) == revocations.PAGE
    assert len(json.dumps(reply)) < frame.MAX_PAYLOAD


def test_a_poll_waits_for_news_and_is_answered_when_it_comes(identity: Served) -> None:
    with identity.client() as client:
        since = client.call("identity.revocations", {"since": 0})["revision"]
        client._send("identity.revocations", {"since": since, "wait_ms": 10_000}, "", "")
        began = time.monotonic()
        identity.call("identity.revoke", cap_id="second")
        assert client._receive()["result"]["revoked"] == ["second"]
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("params", [{"wait_ms": 60_001}, {"wait_ms": -1}, {"since": -1}])
def test_a_poll_out_of_bounds_is_refused(identity: Served, params: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument, match="wait_ms"):
        identity.call("identity.revocations", **params)


def test_a_revocation_waits_a_second_for_a_silent_verifier_and_says_so(identity: Served) -> None:
    with identity.client() as silent:
        silent.call("identity.revocations", {"verifier": "silent"})
        began = time.monotonic()
        assert identity.call("identity.revoke", cap_id="x") == {"status": "revoked", "unconfirmed": 1}
        assert 0.5 < time.monotonic() - began < 3


def test_who_reads_along_without_a_name_holds_up_nobody(identity: Served) -> None:
    with identity.client() as reader:
        assert reader.call("identity.revocations")["reset"]
        assert identity.call("identity.revoke", cap_id="x") == {"status": "revoked"}


@pytest.mark.parametrize("name", ["a/b", "a b", "a\n", "n" * 65])
def test_a_verifier_of_an_odd_name_is_refused(identity: Served, name: str) -> None:
    with pytest.raises(InvalidArgument, match="verifier"):
        identity.call("identity.revocations", verifier=name)


def test_a_stranger_who_never_confirms_holds_up_nobody(identity: Served) -> None:
    assert as_stranger(identity.path, "identity.revocations")["ok"]
    assert identity.call("identity.revoke", cap_id="x") == {"status": "revoked"}


def test_078_when_a_revoke_has_returned_every_follower_refuses(made: Path) -> None:
    async def go(up: Served) -> None:
        trusts = [Trust(), Trust()]
        async with following(trusts[0], up.path), following(trusts[1], up.path):
            for _ in range(20):
                cap = await async_client.call(up.path, "identity.issue", FS)
                for trust in trusts:
                    trust.verify(cap["token"])
                answer = await async_client.call(up.path, "identity.revoke", {"cap_id": cap["cap_id"]})
                assert answer == {"status": "revoked"}
                for trust in trusts:
                    with pytest.raises(PermissionDenied, match="revoked"):
                        trust.verify(cap["token"])

    with in_here(made) as up:
        asyncio.run(go(up))


def test_a_follower_outlives_whoever_listens_to_it(made: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One that ended would let revoked tokens pass, and nobody would know."""

    async def go() -> None:
        trust = Trust()

        def broken(_new: frozenset[str]) -> None:
            trust.listeners.remove(broken)
            raise OSError("a bug")

        trust.listeners.append(broken)
        async with following(trust, up.path):
            for _ in range(2):
                cap = await async_client.call(up.path, "identity.issue", FS)
                await async_client.call(up.path, "identity.revoke", {"cap_id": cap["cap_id"]})
                async with asyncio.timeout(DEADLINE):
                    while not trust.revoked(trust.read(cap["token"])):
                        await asyncio.sleep(0.01)

    with in_here(made) as up:
        asyncio.run(go())
    assert "cannot take what identity says, trying again" in caplog.text


def test_when_a_rotation_has_returned_every_follower_knows_the_new_key(made: Path) -> None:
    async def go(up: Served) -> None:
        trust = Trust()
        async with following(trust, up.path):
            for overlap in (None, 0):
                await async_client.call(up.path, "identity.rotate", {"overlap_seconds": overlap})
                token = (await async_client.call(up.path, "identity.issue", FS))["token"]
                assert trust.verify(token)
            assert len(trust.keys) == 2

    with in_here(made) as up:
        asyncio.run(go(up))


def test_a_follower_starts_without_identity_refusing_and_recovers_from_kill_9(made: Path) -> None:
    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                await asyncio.sleep(0.01)

    async def go() -> None:
        trust = Trust()
        async with following(trust, made / "identity.sock", patience=0.05):
            with pytest.raises(Unavailable):
                trust.verify("v2.public.AAAA")
            with process(made) as first:
                assert await trust.ready(DEADLINE)
                cap = await async_client.call(first.path, "identity.issue", FS)
                assert trust.verify(cap["token"])
                first.end(signal.SIGKILL)
                assert trust.verify(cap["token"])
            with process(made) as second:
                await async_client.call(second.path, "identity.revoke", {"cap_id": cap["cap_id"]})
                claims = verify(cap["token"], trust.keys)
                await until(lambda: trust.revoked(claims))

    asyncio.run(go())


def test_settings_decide_the_longest_ttl(made: Path) -> None:
    with in_here(made, Settings(identity=IdentitySettings(60, 120, 120))) as up:
        assert up.call("identity.issue", **FS)["expires"] - time.time() < 61
        with pytest.raises(InvalidArgument, match="between 1 and 120"):
            up.call("identity.issue", **FS, ttl_seconds=121)
