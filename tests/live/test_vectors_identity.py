# SPDX-License-Identifier: MIT
"""Vectors 024 to 041: the identity service of a running Strata, and what stands in its tokens."""

from __future__ import annotations

import base64
import re
import stat
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import tokens
from node import NOBODY, Node, until

HOUR = 3600
KNOWN_KEY = "n+n2BLayhKr9VHU8YDnZsKt1S91xnN+Ux3Fy/VrVQkg="
KNOWN_TOKEN = (
    "v2.public.eyJqdGkiOiJhM2JlNTUyNGFlZjVlY2IwZGE0YjFlYmQyZGIzNTIxNCIsInN1YiI6ImNhcGFiaWxpdHkiLCJpYXQiOiIyMDI2LTExLTIx"
    "VDIyOjMwOjEwLjQxOTk2MzMyNVoiLCJleHAiOiIyMDI2LTExLTIxVDIzOjMwOjEwLjQxOTk2MzMyNVoiLCJzZXJ2aWNlIjoiZnMiLCJhY3Rpb25zIj"
    "pbIm9wZW4iLCJyZWFkIiwibGlzdCJdLCJjb25zdHJhaW50cyI6eyJwYXRoX3ByZWZpeCI6Ii90bXAifX3x5Xq5DNf6XC77zOq19lAbhjxkA1piMdvy"
    "BazFp9TCX5-cWN20mmE1Gy1lh3dVrMN0gV02xYz_EmN9_kAJ8usL"
)


def issue(strata: Node, **params: Any) -> dict[str, Any]:
    """The result of identity.issue with just these parameters."""
    found = strata.call("identity.issue", params)
    assert isinstance(found, dict)
    return found


def public_key(strata: Node) -> bytes:
    """The key in identity.pub."""
    return base64.b64decode(strata.manager.paths.identity_pub.read_bytes(), validate=True)


def test_024_issue_gives_a_token_its_id_and_its_end(strata: Node) -> None:
    """issue{service fs, actions [open]} -> `v2.public.…`, cap_id ^[0-9a-f]{32}$, expires ~ now+3600."""
    before = time.time()
    found = issue(strata, service="fs", actions=["open"])
    assert found["token"].startswith("v2.public.")
    assert re.fullmatch(r"[0-9a-f]{32}", found["cap_id"])
    assert type(found["expires"]) is int
    assert before + HOUR - 1 <= found["expires"] <= time.time() + HOUR


def test_025_the_message_of_a_token(strata: Node) -> None:
    """Decoded message of 024: jti==cap_id, sub "capability", service fs, actions ["open"], no rights key, …."""
    found = issue(strata, service="fs", actions=["open"])
    said = tokens.message(found["token"])
    assert said["jti"] == found["cap_id"]
    assert (said["sub"], said["service"], said["actions"], said["constraints"]) == ("capability", "fs", ["open"], {})
    assert "rights" not in said


def test_026_rights_alone_are_enough(strata: Node) -> None:
    """Issue with rights only -> message has rights; actions null or []."""
    said = tokens.message(issue(strata, service="fs", rights=["fs.open"])["token"])
    assert said["rights"] == ["fs.open"]
    assert not said["actions"]


def test_027_constraints_are_what_was_asked_for(strata: Node) -> None:
    """Issue path_prefix/rate_limit -> they appear under constraints; otherwise absent."""
    for asked in ({"path_prefix": "/tmp"}, {"rate_limit": "50rps"}, {"path_prefix": "/tmp", "rate_limit": "5rps"}):
        said = tokens.message(issue(strata, service="fs", actions=["open"], **asked)["token"])
        assert said["constraints"] == asked


def test_028_the_signature_is_identitys(strata: Node) -> None:
    """Signature of 024 verifies with R/identity.pub over PAE(header, message, empty); exp - iat == ttl."""
    token = issue(strata, service="fs", actions=["open"], ttl_seconds=120)["token"]
    assert tokens.signed_by(token, public_key(strata))
    said = tokens.message(token)
    # Up to nine fractional digits (spec 1.8), where datetime takes six.
    iat, exp = (datetime.fromisoformat(re.sub(r"\.\d+", "", said[name])) for name in ("iat", "exp"))
    assert (exp - iat).total_seconds() == 120
    assert said["iat"].partition(".")[2] == said["exp"].partition(".")[2]


def test_029_the_public_key_is_published(strata: Node) -> None:
    """identity.pub is 44 base64 chars decoding to 32 bytes, mode 0644, no newline."""
    path = strata.manager.paths.identity_pub
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert len(path.read_bytes()) == 44
    assert len(public_key(strata)) == 32


def test_030_the_known_answer(strata: Node) -> None:
    """The token of section 1.8 verifies with its public key; flipping any byte of it fails.

    By our reading of the format here; by the product's own verifier, letter by letter, in the pure ring. The running
    fs has another key and refuses it.
    """
    key = base64.b64decode(KNOWN_KEY)
    assert tokens.signed_by(KNOWN_TOKEN, key)
    body = tokens.raw(KNOWN_TOKEN)
    for at in range(len(body)):
        flipped = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        assert not tokens.signed_by(tokens.wrapped(flipped), key), f"byte {at} does not matter"
    assert strata.refusal("fs.list", {"path": "."}, token=KNOWN_TOKEN) == (2, "invalid token: invalid signature")


@pytest.mark.parametrize(
    "lists", [{}, {"actions": []}, {"actions": "open"}, {"actions": [7]}, {"actions": None}, {"rights": []}]
)
def test_031_issue_says_what_is_missing(strata: Node, lists: dict[str, Any]) -> None:
    """issue {} -> `missing service param`; no usable actions and rights -> `actions or rights required`."""
    assert strata.refusal("identity.issue", lists) == (1, "missing service param")
    assert strata.refusal("identity.issue", {"service": "fs", **lists}) == (1, "actions or rights required")


@pytest.mark.parametrize("ttl", [0, -4, "60", None])
def test_032_no_time_to_live_means_an_hour(strata: Node, ttl: object) -> None:
    """ttl_seconds 0, -4 or "60" -> default 3600 (the string may be rejected with 1, must not crash)."""
    reply = strata.ask("identity.issue", {"service": "fs", "actions": ["open"], "ttl_seconds": ttl})
    if isinstance(ttl, str) and not reply["ok"]:
        assert (reply["error"]["code"], reply["error"]["message"]) == (1, "ttl_seconds must be a number")
    else:
        assert abs(reply["result"]["expires"] - time.time() - HOUR) < 5


@pytest.mark.parametrize("ttl", [1e10, 1e300, 0.5])
def test_033_an_odd_time_to_live_never_ends_in_the_past(strata: Node, ttl: float) -> None:
    """ttl_seconds 1e10, 1e300, 0.5 -> code 1 or a clamped future expiry, never in the past or overflown."""
    reply = strata.ask("identity.issue", {"service": "fs", "actions": ["open"], "ttl_seconds": ttl})
    if reply["ok"]:
        assert time.time() < reply["result"]["expires"] < time.time() + 10 * 365 * 86_400
    else:
        assert reply["error"]["code"] == 1


def test_034_a_token_ends(strata: Node, tree: Path) -> None:
    """ttl_seconds 1, wait 2 s, fs.list -> code 2 `token expired`."""
    issued = strata.issue(path_prefix=str(tree), ttl_seconds=1)
    reply = strata.ask("fs.list", {"path": "."}, token=issued.token)
    assert reply["ok"] or time.time() > issued.expires
    until(lambda: time.time() >= issued.expires + 1, "the token's time is over", 5.0)
    assert strata.refusal("fs.list", {"path": "."}, token=issued.token) == (2, "token expired")


def test_035_no_two_capabilities_are_the_same(strata: Node) -> None:
    """Two issues -> different cap_ids."""
    assert strata.issue().cap_id != strata.issue().cap_id


def test_036_revoking(strata: Node) -> None:
    """revoke{cap_id} -> {"status":"revoked"}; repeating it -> ok; {} -> 1 `missing cap_id param`; unknown id -> ok."""
    own = strata.issue().cap_id
    for cap_id in (own, own, "no-such-capability"):
        assert strata.call("identity.revoke", {"cap_id": cap_id})["status"] == "revoked"
    assert strata.refusal("identity.revoke", {}) == (1, "missing cap_id param")


def test_037_a_token_explained(strata: Node) -> None:
    """introspect{valid token} -> {"claims":{…}}; garbage token -> code 2; revoked -> code 2 or a revoked flag."""
    issued = strata.issue(path_prefix="/tmp", rate_limit="5rps")
    found = strata.call("identity.introspect", {"token": issued.token})
    assert found["claims"] == tokens.message(issued.token)
    assert not found.get("revoked")
    assert strata.refusal("identity.introspect", {"token": "garbage"})[0] == 2
    strata.call("identity.revoke", {"cap_id": issued.cap_id})
    reply = strata.ask("identity.introspect", {"token": issued.token})
    assert reply["result"]["revoked"] is True if reply["ok"] else reply["error"]["code"] == 2


def test_038_a_token_is_for_us(strata: Node, tree: Path) -> None:
    """iss "identity@<node>", aud "strata"; another aud is refused (2); one without (reference-style) verifies."""
    said = tokens.message(strata.issue().token)
    node_id = strata.call("supervisor.status")["node_id"]
    assert (said["iss"], said["aud"]) == (f"identity@{node_id}", "strata")
    ours = tokens.key_of(strata.identity_state)
    limits = {"path_prefix": str(tree)}
    reference = tokens.forged(tokens.reference_claims(constraints=limits), ours)
    strata.call("fs.list", {"path": "."}, token=reference)
    for foreign in ({"aud": "other"}, {"iss": "somebody@local-0", "aud": "strata"}):
        token = tokens.forged(tokens.reference_claims(constraints=limits, **foreign), ours)
        assert strata.refusal("fs.list", {"path": "."}, token=token)[0] == 2


@pytest.mark.parametrize("rate", ["50rpm", "NaNrps", "Infrps", "0rps", "-5rps", "rps", "5 rps", "5RPS", "0x10rps"])
def test_039_a_rate_limit_is_read_when_it_is_issued(strata: Node, rate: str) -> None:
    """Issue with rate_limit "50rpm", "NaNrps", "Infrps", "0rps" (and what 1.9 rejects) -> code 1 at issue."""
    code, message = strata.refusal("identity.issue", {"service": "fs", "actions": ["open"], "rate_limit": rate})
    assert code == 1
    assert "rate limit" in message


def test_040_tokens_survive_identity(disturbed: Node, tree: Path) -> None:
    """Identity restarted: fs accepts tokens of the new key without an fs restart, and earlier ones stay valid."""
    fs_before = disturbed.services()["fs"]["pid"]
    old = disturbed.issue(path_prefix=str(tree))
    disturbed.call("supervisor.svc.restart", {"name": "identity"})
    new = disturbed.issue(path_prefix=str(tree))
    disturbed.kill("identity")
    newest = disturbed.issue(path_prefix=str(tree))
    for issued in (old, new, newest):
        disturbed.call("fs.list", {"path": "."}, token=issued.token)
    assert disturbed.services()["fs"]["pid"] == fs_before


def test_041_another_user_issues_nothing(strata: Node) -> None:
    """Issue by a peer of another uid without authority -> code 2/3, and a token of another kind does not help."""
    asked = {"service": "fs", "actions": ["open"]}
    assert strata.refusal("identity.issue", asked, uid=NOBODY)[0] in (2, 3)
    token = strata.issue(rights=["identity.issue"]).token
    assert strata.refusal("identity.issue", asked, uid=NOBODY, token=token)[0] in (2, 3)
