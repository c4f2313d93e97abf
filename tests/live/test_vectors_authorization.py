# SPDX-License-Identifier: MIT
"""Vectors 042 to 052: what fs of a running Strata allows to whom."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import tokens
import wire
from nacl.signing import SigningKey
from node import Node, until

LISTING = {"path": "."}
OPENING = {"path": "a.txt"}


@pytest.mark.parametrize("auth", [{}, {"auth": None}, {"auth": {}}, {"auth": {"token": ""}}])
def test_042_without_a_token_nothing(strata: Node, auth: dict[str, Any]) -> None:
    """fs.list without auth, with auth.token "" -> code 2 `token required`."""
    assert strata.refusal("fs.list", LISTING, **auth) == (2, "token required")


@pytest.mark.parametrize(
    "text", ["zz", "v1.public.x", "v2.public.!!!", "v2.public.AAAA", "v2.public.", "v2.local.AAAA"]
)
def test_043_what_is_no_token_of_ours(strata: Node, text: str) -> None:
    """Token "zz" / "v1.public.x" / "v2.public.!!!" / "v2.public.AAAA" -> code 2 `invalid token: …`."""
    code, message = strata.refusal("fs.list", LISTING, token=text)
    assert code == 2
    assert message.startswith("invalid token: ")


def test_043_altered_or_signed_by_another_key(strata: Node, tree: Path) -> None:
    """Last chars altered / signed by another key -> code 2 `invalid token: …`."""
    token = strata.issue(path_prefix=str(tree)).token
    altered = token[:-8] + ("A" * 8 if not token.endswith("A" * 8) else "B" * 8)
    claims = tokens.reference_claims(constraints={"path_prefix": str(tree)})
    for wrong in (altered, tokens.forged(claims, SigningKey.generate())):
        assert strata.refusal("fs.list", LISTING, token=wrong) == (2, "invalid token: invalid signature")
    strata.call("fs.list", LISTING, token=token)


@pytest.mark.parametrize("suffix", ["=", ".Zm9v", "\n", "."])
def test_044_padding_and_footers_are_refused(strata: Node, tree: Path, suffix: str) -> None:
    """T + "=" and T + ".Zm9v" -> code 2."""
    token = strata.issue(path_prefix=str(tree)).token
    assert strata.refusal("fs.list", LISTING, token=token + suffix)[0] == 2


def test_045_a_token_is_for_one_service(strata: Node, tree: Path) -> None:
    """Token for service net used on fs.open -> 3, message contains `not valid for service "fs"`."""
    token = strata.issue(service="net", path_prefix=str(tree)).token
    code, message = strata.refusal("fs.open", {"path": "a.txt"}, token=token)
    assert code == 3
    assert 'not valid for service "fs"' in message


def test_046_an_action_that_is_not_named(strata: Node, tree: Path) -> None:
    """Token with only action read used for fs.open -> 3 `method "fs.open" not permitted`."""
    token = strata.issue(actions=["read"], path_prefix=str(tree)).token
    assert strata.refusal("fs.open", {"path": "a.txt"}, token=token) == (3, 'method "fs.open" not permitted')


def test_047_rights_name_whole_methods(strata: Node, tree: Path) -> None:
    """Rights ["fs.open"] without actions -> fs.open ok."""
    token = strata.issue(actions=[], rights=["fs.open"], path_prefix=str(tree)).token
    assert strata.call("fs.open", {"path": "a.txt"}, token=token)["handle"]


@pytest.mark.parametrize(
    "grant",
    [{"rights": ["open"]}, {"actions": ["fs.open"]}, {"rights": ["*"]}, {"rights": ["fs.*"]}, {"actions": ["*"]}],
)
def test_047_rights_and_actions_are_exact_words(strata: Node, tree: Path, grant: dict[str, list[str]]) -> None:
    """Rights ["open"], actions ["fs.open"], rights ["*"], ["fs.*"] -> 3."""
    token = strata.issue(**{"actions": [], "path_prefix": str(tree), **grant}).token
    assert strata.refusal("fs.open", {"path": "a.txt"}, token=token) == (3, 'method "fs.open" not permitted')


def test_048_a_rate_limit(strata: Node, tree: Path) -> None:
    """rate_limit 2rps: calls 1,2 ok, 3rd within the second -> 7 `rate limit exceeded`; ok again after 1 s."""
    token = strata.issue(path_prefix=str(tree), rate_limit="2rps").token
    with strata.connect("fs") as connection:
        connection.send(b"".join(wire.request("fs.open", OPENING, token=token) for _ in range(3)))
        replies = [connection.reply() for _ in range(3)]
        refused_at = time.monotonic()
        assert [reply["ok"] for reply in replies] == [True, True, False]
        assert wire.error(replies[2]) == (7, "rate limit exceeded")
        until(lambda: time.monotonic() >= refused_at + 1.0, "a second went by")
        wire.result(connection.ask("fs.open", OPENING, token=token))


def test_049_each_capability_has_its_own_allowance(strata: Node, tree: Path) -> None:
    """Two caps with 1rps each: exhausting one does not affect the other."""
    one, other = (strata.issue(path_prefix=str(tree), rate_limit="1rps").token for _ in range(2))
    with strata.connect("fs") as connection:
        connection.send(b"".join(wire.request("fs.open", OPENING, token=token) for token in (one, one, other)))
        assert [connection.reply()["ok"] for _ in range(3)] == [True, False, True]


def test_050_a_limit_that_cannot_be_read_admits_nothing(strata: Node, tree: Path) -> None:
    """Reference-signed claims with rate_limit "50rpm" -> 1 `unparseable rate limit…` (fail closed)."""
    limits = {"path_prefix": str(tree), "rate_limit": "50rpm"}
    token = tokens.forged(tokens.reference_claims(constraints=limits), tokens.key_of(strata.identity_state))
    code, message = strata.refusal("fs.list", LISTING, token=token)
    assert code == 1
    assert message.startswith("unparseable rate limit")


def test_051_half_a_call_a_second(strata: Node, tree: Path) -> None:
    """0.5rps admits the first call and then one per 2 s."""
    token = strata.issue(path_prefix=str(tree), rate_limit="0.5rps").token
    started = time.monotonic()
    with strata.connect("fs") as connection:
        connection.send(b"".join(wire.request("fs.open", OPENING, token=token) for _ in range(2)))
        wire.result(connection.reply())
        assert wire.error(connection.reply()) == (7, "rate limit exceeded")
        until(lambda: connection.ask("fs.open", OPENING, token=token)["ok"], "another call is admitted")
        assert time.monotonic() - started >= 2.0
        assert not connection.ask("fs.open", OPENING, token=token)["ok"]


def test_052_credentials_come_before_parameters(strata: Node) -> None:
    """Token checked before params: fs.open {} with no token -> 2."""
    assert strata.refusal("fs.open", {}) == (2, "token required")
    assert strata.refusal("fs.open", {}, token="zz")[0] == 2
