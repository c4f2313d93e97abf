# SPDX-License-Identifier: MIT
"""Long stories that bytes tell badly: steps that depend on what came of the steps before."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from strata.config import DEFAULTS
from strata.errors import InvalidArgument, PermissionDenied, ResourceExhausted, Unauthenticated
from strata.identity.issuer import Issued, Issuer
from strata.identity.keys import KeyStore
from strata.identity.revocations import Revocations
from strata.policy.authorize import authorize
from strata.policy.capability import SECOND, Claims, Constraints, beneath
from strata.policy.narrow import Grant, Wanted, narrow
from strata.policy.ratelimit import Buckets
from strata.policy.trust import Trust

SHORT = settings(
    max_examples=30, stateful_step_count=25, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip
_ACTIONS = ("open", "read", "write")
_PREFIXES = ("/srv", "/srv/a", "/srv/a/b", "/srv/ab", "/srv//a/", "/etc", "/")
_RATES = ("", "100rps", "3rps", "0.5rps")
_SUBSETS = st.lists(st.sampled_from(_ACTIONS), unique=True).map(tuple)


class Identity(RuleBasedStateMachine):
    """Real keys, a real issuer, a verifier and the journal of revocations: chains of tokens over restarts, rotations
    and the passing of time. What is refused for good stays refused; no chain ever reaches beyond its root."""

    tokens = Bundle("tokens")

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory(prefix="strata-chains-")
        self.now = 1_800_000_000 * SECOND
        self.path = Path(self._directory.name)
        self.revoked: set[str] = set()
        self.made: list[tuple[Issued, Claims]] = []  # each with the root of its chain

    @initialize()
    def begin(self) -> None:
        """A fresh node."""
        self._start()

    def teardown(self) -> None:
        self.revocations.close()
        self._directory.cleanup()

    def _start(self) -> None:
        clock = self._seconds
        self.keys = KeyStore(self.path, 30 * 86_400, clock=clock)
        self.revocations = Revocations(self.path / "revocations.jsonl", 30 * 86_400, clock)
        self.issuer = Issuer(self.keys, "n", DEFAULTS.identity, lambda: self.now)
        self.trust = Trust(lambda: self.now, most_cached=4)
        self.trust.set_keys(self.keys.verifying())
        self.trust.replace_revoked(self.revocations.cap_ids())

    def _seconds(self) -> float:
        return self.now / SECOND

    @rule(
        target=tokens,
        actions=_SUBSETS,
        prefix=st.sampled_from(_PREFIXES),
        rate=st.sampled_from(_RATES),
        v4=st.booleans(),
    )
    def issue(self, actions: tuple[str, ...], prefix: str, rate: str, v4: bool) -> Issued:
        """An operator issues a root."""
        grant = Grant("fs", actions or ("open",), (), Constraints(prefix, rate), self.now + 3600 * SECOND, owner="*")
        return self._mint(grant, v4, None)

    @rule(
        target=tokens, parent=tokens, actions=_SUBSETS, prefix=st.sampled_from(("", *_PREFIXES)),
        rate=st.sampled_from(_RATES), ttl=st.sampled_from((None, 1, 600, 7200)), v4=st.booleans(),
    )  # fmt: skip
    def attenuate(
        self, parent: Issued | None, actions: tuple[str, ...], prefix: str, rate: str, ttl: int | None, v4: bool
    ) -> Issued | None:
        """A holder makes a narrower one, or is refused."""
        held = self._verified(parent)
        if held is None or parent is None:
            return None
        wanted = Wanted(actions or None, None, prefix, rate, None if ttl is None else self.now + ttl * SECOND)
        try:
            return self._mint(narrow(held, wanted), v4, self._root(parent))
        except (InvalidArgument, PermissionDenied):
            return None

    def _mint(self, grant: Grant, v4: bool, root: Claims | None) -> Issued:
        issued = self.issuer.mint(grant, "v4.public" if v4 else "v2.public", self.now)
        self.made.append((issued, root or issued.claims))
        return issued

    def _root(self, issued: Issued) -> Claims:
        return next(root for one, root in self.made if one.token == issued.token)

    @rule(one=tokens)
    def revoke(self, one: Issued | None) -> None:
        """Durably, as identity does it."""
        if one is None:
            return
        self.revocations.add(one.claims.jti)
        self.trust.revoke([one.claims.jti])
        asyncio.run(self.revocations.save())
        self.revoked.add(one.claims.jti)

    @rule(seconds=st.sampled_from((1, 599, 3600)))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.now += seconds * SECOND

    @rule()
    def rotate(self) -> None:
        """New keys sign; the old ones go on to verify."""
        with contextlib.suppress(ResourceExhausted):
            self.keys.rotate(None)
        self.trust.set_keys(self.keys.verifying())

    @rule()
    def restart(self) -> None:
        """Only what is on the disk is left."""
        self.revocations.close()
        self._start()

    def _verified(self, issued: Issued | None) -> Claims | None:
        if issued is None:
            return None
        try:
            return self.trust.verify(issued.token)
        except (Unauthenticated, PermissionDenied):
            return None

    @invariant()
    def what_is_good_is_as_it_was_issued_and_what_is_not_is_refused(self) -> None:
        """Of every token that was ever made."""
        for issued, root in self.made:
            claims = issued.claims
            good = self.now <= claims.exp and self.revoked.isdisjoint((claims.jti, *claims.parents))
            assert self._verified(issued) == (claims if good else None)
            assert claims.exp <= root.exp
            assert set(claims.actions) <= set(root.actions)

    @invariant()
    def no_chain_reaches_beyond_its_root(self) -> None:
        """Whatever path is asked for."""
        for issued, root in self.made:
            for path in ("x", "/srv/a/x", "/etc/passwd", "/srv/abc", "a/../../x"):
                reached = _reached(issued.claims, path)
                assert reached is None or beneath(reached, _clean(root.constraints.path_prefix)), (issued, path)

    @precondition(lambda self: self.made)
    @invariant()
    def a_family_has_the_calls_of_its_root_and_no_more(self) -> None:
        """All its tokens together, at one moment."""
        root = self.made[-1][1]
        family = [issued.claims for issued, of in self.made if of is root]
        if root.constraints.rate_limit:
            assert _calls(family) <= max(1.0, float(root.constraints.rate_limit.removesuffix("rps")))


def _clean(prefix: str) -> str:
    return "/" + prefix.strip("/").replace("//", "/")


def _reached(claims: Claims, path: str) -> str | None:
    try:
        relative = authorize(claims, f"fs.{claims.actions[0]}", path, buckets=Buckets(clock=lambda: 0.0))
    except (PermissionDenied, InvalidArgument, ResourceExhausted):
        return None
    prefix = _clean(claims.constraints.path_prefix)
    return prefix if relative == "." else f"{prefix.rstrip('/')}/{relative}"


def _calls(family: list[Claims]) -> int:
    buckets, passed = Buckets(clock=lambda: 0.0), 0
    for _ in range(110):
        passed += any(_passes(buckets.charge, claims) for claims in family)
    return passed


def _passes(charge: Callable[[Claims], None], claims: Claims) -> bool:
    try:
        charge(claims)
    except ResourceExhausted:
        return False
    return True


class Journal(RuleBasedStateMachine):
    """The journal of revocations, torn at any byte by a power cut: what was confirmed is never forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory(prefix="strata-journal-")
        self.file = Path(self._directory.name) / "revocations.jsonl"
        self.confirmed: set[str] = set()
        self.safe = 0  # bytes that were on the disk when the last answer was given
        self.revision = 0
        self.list: Any = Revocations(self.file, 60, lambda: 1e9)
        self.sync()

    def teardown(self) -> None:
        self.list.close()
        self._directory.cleanup()

    def sync(self) -> None:
        """All that is written so far is confirmed."""
        self.safe = self.file.stat().st_size

    @rule(name=st.text(max_size=8), confirm=st.booleans())
    def revoke(self, name: str, confirm: bool) -> None:
        """One more, answered or not."""
        self.list.add(name)
        if confirm:
            asyncio.run(self.list.save())
            self.confirmed |= {entry.cap_id for entry in self.list._entries} - {""}
            self.revision = self.list.revision
            self.sync()

    @rule(name=st.text(max_size=30), kept=st.integers(0, 200), zeros=st.integers(0, 40))
    def lose_power_while_writing(self, name: str, kept: int, zeros: int) -> None:
        """Part of the next entry is there, or a block of zeros."""
        self.list.close()
        line = msgspec.json.encode({"cap_id": name, "at": 1e9}) + b"\n"
        with self.file.open("r+b") as file:
            file.truncate(self.safe)
            file.seek(self.safe)
            file.write(line[: min(kept, len(line) - 1)] + bytes(zeros))
        self.list = Revocations(self.file, 60, lambda: 1e9)
        self.sync()

    @invariant()
    def what_was_confirmed_is_revoked(self) -> None:
        """And revisions grow."""
        assert self.confirmed <= self.list.cap_ids()
        assert self.list.revision >= self.revision


TestIdentity = Identity.TestCase
TestIdentity.settings = SHORT
TestJournal = Journal.TestCase
TestJournal.settings = settings(SHORT, max_examples=60)
