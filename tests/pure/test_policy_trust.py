# SPDX-License-Identifier: MIT
"""What a verifier believes over time: keys, clocks, revocations, the cache."""

from __future__ import annotations

import asyncio
import grp

import msgspec
import pyseto
import pytest
from nacl.signing import SigningKey

from strata.config import OperatorSettings
from strata.errors import InvalidArgument, PermissionDenied, Unauthenticated, Unavailable
from strata.policy import trust as trusts
from strata.policy.capability import SECOND, Claims, Constraints, encode
from strata.policy.feed import Key, Page, take
from strata.policy.gate import Gate
from strata.policy.token import V2, PublicKey
from strata.policy.trust import Trust
from strata.sockets.method import Call
from strata.types import Access, Peer

NOW = 1_700_000_000 * SECOND
SEED = bytes(range(32))
SIGNER = pyseto.Key.from_asymmetric_key_params(2, d=SEED)
KEY = PublicKey(V2, bytes(SigningKey(SEED).verify_key))
OTHER = PublicKey(V2, bytes(SigningKey(bytes(32)).verify_key))
CLAIMS = Claims("cap", NOW, NOW + 10 * SECOND, "fs", ("open",), parents=("grand", "mother"))


class Clock:
    """Wall-clock nanoseconds that a test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def trust(clock: Clock) -> Trust:
    made = Trust(clock)
    made.set_keys([KEY])
    return made


def sign(claims: Claims = CLAIMS, **fields: object) -> str:
    return pyseto.encode(SIGNER, encode(msgspec.structs.replace(claims, **fields))).decode()


def test_before_the_first_key_nothing_is_believed() -> None:
    with pytest.raises(Unavailable, match="not known yet"):
        Trust().verify(sign())


def test_a_valid_token_is_believed_and_its_claims_are_cached(trust: Trust) -> None:
    token = sign()
    assert trust.verify(token) == CLAIMS
    assert trust.verify(token) is trust.verify(token)


def test_034_a_token_dies_strictly_after_its_end_even_when_cached(trust: Trust, clock: Clock) -> None:
    token = sign()
    clock.now = CLAIMS.exp
    trust.verify(token)
    clock.now += 1
    with pytest.raises(Unauthenticated, match=r"^token expired$"):
        trust.verify(token)


def test_a_clock_that_jumps_back_revives_nothing_from_the_future(trust: Trust, clock: Clock) -> None:
    token = sign()
    trust.verify(token)
    clock.now = NOW - trusts.SKEW
    trust.verify(token)
    clock.now -= 1
    with pytest.raises(Unauthenticated, match="from the future"):
        trust.verify(token)


def test_a_token_is_refused_before_its_nbf(trust: Trust) -> None:
    with pytest.raises(Unauthenticated, match="from the future"):
        trust.verify(sign(nbf=NOW + 61 * SECOND, exp=NOW + 100 * SECOND))


@pytest.mark.parametrize("aud", ["strata2", "Strata", "net", " strata"])
def test_038_another_audience_is_refused(trust: Trust, aud: str) -> None:
    with pytest.raises(Unauthenticated, match="audience"):
        trust.verify(sign(aud=aud))


@pytest.mark.parametrize("iss", ["identity", "identity@", "me@identity@x"])
def test_another_issuer_is_refused(trust: Trust, iss: str) -> None:
    with pytest.raises(Unauthenticated, match="issuer"):
        trust.verify(sign(iss=iss))


def test_038_tokens_with_neither_are_the_references_and_verify(trust: Trust) -> None:
    assert trust.verify(sign()).aud == ""
    assert trust.verify(sign(aud="strata", iss="identity@local-0")).iss == "identity@local-0"


@pytest.mark.parametrize("revoked", ["cap", "mother", "grand"])
@pytest.mark.parametrize("cached", [True, False])
def test_revoking_a_capability_or_any_ancestor_refuses_it_at_once(trust: Trust, revoked: str, cached: bool) -> None:
    token = sign()
    if cached:
        trust.verify(token)
    trust.revoke([revoked])
    with pytest.raises(PermissionDenied, match=r"^capability revoked$"):
        trust.verify(token)


def test_revoking_a_child_leaves_its_mother(trust: Trust) -> None:
    trust.revoke(["cap"])
    assert trust.verify(sign(jti="mother", parents=("grand",)))


def test_listeners_hear_of_each_revocation_once_and_after_it_counts(trust: Trust) -> None:
    heard: list[tuple[frozenset[str], bool]] = []
    trust.listeners.append(lambda new: heard.append((new, trust.revoked(CLAIMS))))
    trust.revoke(["cap"])
    trust.revoke(["cap"])
    assert heard == [(frozenset(["cap"]), True)]


def test_a_new_key_beside_the_old_one_keeps_old_tokens(trust: Trust) -> None:
    token = sign()
    trust.verify(token)
    trust.set_keys([OTHER, KEY])
    trust.verify(token)


def test_a_key_that_is_gone_takes_its_cached_tokens_with_it(trust: Trust) -> None:
    token = sign()
    trust.verify(token)
    trust.set_keys([OTHER])
    with pytest.raises(Unauthenticated, match="invalid signature"):
        trust.verify(token)


def test_the_cache_is_bounded(clock: Clock) -> None:
    trust = Trust(clock, most_cached=2)
    trust.set_keys([KEY])
    tokens = [sign(jti=f"c{number}") for number in range(5)]
    for token in tokens * 2:
        trust.verify(token)
    assert len(trust._cache) == 2


def test_the_cache_is_bounded_by_what_it_holds_too(trust: Trust, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = [sign(jti=f"c{number}") for number in range(5)]
    monkeypatch.setattr(trusts, "MOST_CHARACTERS", 3 * len(tokens[0]))
    for token in tokens * 2:
        trust.verify(token)
    assert len(trust._cache) == 3
    trust.revoke(["c3"])
    assert trust._characters == sum(map(len, (tokens[2], tokens[4])))


def page(revision: int, *revoked: str, reset: bool = False, more: bool = False) -> Page:
    return Page(revision, revoked, (Key(V2, "Szs2W1FP8y0gS6bVQPnC7c2GFYlYHr8QPPqqr9ASkKo=", "id"),), reset, more)


def test_a_trust_is_ready_only_after_the_last_page_of_its_snapshot() -> None:
    async def go() -> None:
        trust = Trust()
        gathered = take(trust, page(1, "a", reset=True, more=True), None)
        assert not await trust.ready(0)
        assert not trust.keys
        assert take(trust, page(2, "b"), gathered) is None
        assert await trust.ready(0)
        assert trust.revoked(msgspec.structs.replace(CLAIMS, jti="a"))

    asyncio.run(go())


def test_a_new_snapshot_forgets_what_it_no_longer_names() -> None:
    trust = Trust()
    take(trust, page(2, "a", "b", reset=True), None)
    take(trust, page(9, "b", "c", reset=True), None)
    assert trust._revoked == {"b", "c"}


def test_a_page_without_keys_changes_nothing() -> None:
    trust = Trust()
    with pytest.raises(InvalidArgument, match="no key"):
        take(trust, Page(1, ("a",), (), True), None)
    assert not trust._revoked


def call(
    uid: int = 65534, gid: int = 65534, groups: tuple[int, ...] = (), token: str = "", method: str = "fs.open"
) -> Call:
    return Call(Peer(1, uid, gid, groups), "r", method, token)


def test_open_methods_ask_for_nothing(trust: Trust) -> None:
    assert Gate(trust, OperatorSettings())(Access.OPEN, call(token="garbage")) is None


@pytest.mark.parametrize(
    "operator", [call(uid=0), call(uid=1001), call(gid=7), call(groups=(3, 7))], ids=["root", "uid", "gid", "group"]
)
def test_operators_are_told_by_the_kernel(trust: Trust, operator: Call) -> None:
    assert Gate(trust, OperatorSettings(uids=(1001,), gids=(7,)))(Access.OPERATOR, operator) is None


def test_members_of_a_group_named_in_the_settings_are_operators_and_no_other_groups(trust: Trust) -> None:
    there = grp.getgrall()[-1]
    gate = Gate(trust, OperatorSettings(groups=("no-such-group", there.gr_name)))
    assert gate.is_operator(Peer(5, 1234, there.gr_gid))
    assert gate.is_operator(Peer(5, 1234, 4_000_000, (4_000_000, there.gr_gid)))
    assert not gate.is_operator(Peer(5, 1234, 4_000_000, (4_000_000,)))


def test_a_group_that_the_machine_does_not_have_is_nobody(trust: Trust) -> None:
    gate = Gate(trust, OperatorSettings(groups=("no-such-group",)))
    assert not gate.is_operator(Peer(5, 1234, 1234, (1234,)))


def test_041_a_stranger_without_a_token_is_no_operator(trust: Trust) -> None:
    with pytest.raises(Unauthenticated, match=r"^token required$"):
        Gate(trust, OperatorSettings())(Access.OPERATOR, call())


def test_a_token_with_the_methods_right_opens_an_operators_method(trust: Trust) -> None:
    token = sign(service="registry", rights=("registry.register",), actions=())
    gate = Gate(trust, OperatorSettings())
    assert gate(Access.OPERATOR, call(token=token, method="registry.register"))
    with pytest.raises(PermissionDenied, match="not permitted"):
        gate(Access.OPERATOR, call(token=token, method="registry.unregister"))


def test_042_a_token_method_wants_a_token_of_root_too(trust: Trust) -> None:
    gate = Gate(trust, OperatorSettings())
    with pytest.raises(Unauthenticated, match=r"^token required$"):
        gate(Access.TOKEN, call(uid=0))
    assert gate(Access.TOKEN, call(token=sign())) == CLAIMS


def test_a_revoked_capability_leaves_no_bucket(trust: Trust) -> None:
    gate = Gate(trust, OperatorSettings())
    claims = msgspec.structs.replace(CLAIMS, constraints=Constraints(rate_limit="1rps"))
    gate.buckets.charge(claims)
    trust.revoke([claims.jti])
    assert len(gate.buckets) == 0
