# SPDX-License-Identifier: MIT
"""What a verifier knows: the keys, what is revoked, and the tokens it has verified already."""

from __future__ import annotations

import asyncio
import collections
import hashlib
import time
from collections.abc import Callable, Iterable

from strata.errors import PermissionDenied, Unauthenticated, Unavailable
from strata.policy import token as tokens
from strata.policy.capability import AUDIENCE, SECOND, Claims
from strata.policy.token import PublicKey

SKEW = 60 * SECOND
"""How far ahead of our clock a token may have been made; further ahead, one of the two clocks is wrong."""
MOST_CACHED = 4096
MOST_CHARACTERS = 4 * 1_048_576
"""Of all tokens remembered: the claims of a token take about fifteen times its length, and any holder can make more."""
ISSUER = "identity@"


class Trust:
    """Verifies tokens. Fails closed: with no keys yet it verifies nothing.

    `listeners` are told of each set of cap_ids newly revoked, after this trust has begun to refuse them;
    `key_listeners` when the keys are others than before.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns, most_cached: int = MOST_CACHED) -> None:
        """`clock` is the wall clock in nanoseconds."""
        self.keys: tuple[PublicKey, ...] = ()
        self.listeners: list[Callable[[frozenset[str]], None]] = []
        self.key_listeners: list[Callable[[], None]] = []
        self._revoked: set[str] = set()
        self._cache: collections.OrderedDict[bytes, tuple[Claims, int]] = collections.OrderedDict()
        self._characters = 0
        self._clock, self._most = clock, most_cached
        self._known = asyncio.Event()

    def verify(self, token: str) -> Claims:
        """The claims of a token that is signed by our identity, for us, in time and not revoked.

        Raises Unauthenticated, PermissionDenied `capability revoked`, or Unavailable before the first keys are known.
        """
        claims = self.read(token)
        self.check(claims)
        return claims

    def read(self, token: str) -> Claims:
        """As `verify`, but of a token that may have expired or be revoked: only who signed it, and for whom."""
        if not token:
            raise Unauthenticated("token required")
        if not self.keys:
            raise Unavailable("cannot verify tokens: the keys of the identity service are not known yet; try again")
        # Lone surrogates are not text; they hash as what they are and then fail the alphabet check.
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        if found := self._cache.get(digest):
            self._cache.move_to_end(digest)
            return found[0]
        claims = tokens.verify(token, self.keys)
        self._check_parties(claims)
        self._keep(digest, claims, len(token))
        return claims

    def revoked(self, claims: Claims) -> bool:
        """Whether the capability or one of its ancestors is revoked."""
        return claims.jti in self._revoked or not self._revoked.isdisjoint(claims.parents)

    def check(self, claims: Claims) -> None:
        """Judge claims verified earlier once more: time and revocation. Raises as `verify`."""
        now = self._clock()
        if now > claims.exp:
            raise Unauthenticated("token expired", cap_id=claims.jti)
        if max(claims.iat, claims.nbf) > now + SKEW:
            raise Unauthenticated("invalid token: it is from the future; check the clock", cap_id=claims.jti)
        if self.revoked(claims):
            raise PermissionDenied("capability revoked", cap_id=claims.jti)

    def set_keys(self, keys: Iterable[PublicKey]) -> None:
        """Replace the keys. What a key that is gone had signed is no longer believed."""
        keys = tuple(keys)
        if not set(self.keys) <= set(keys):
            self._cache.clear()
            self._characters = 0
        changed, self.keys = keys != self.keys, keys
        for listener in self.key_listeners if changed else ():
            listener()

    def revoke(self, cap_ids: Iterable[str]) -> None:
        """Refuse these capabilities and all that descends from them, from now on."""
        new = frozenset(cap_ids) - self._revoked
        if not new:
            return
        self._revoked |= new
        for digest in [key for key, (claims, _) in self._cache.items() if self.revoked(claims)]:
            self._characters -= self._cache.pop(digest)[1]
        for listener in self.listeners:
            listener(new)

    def replace_revoked(self, cap_ids: Iterable[str]) -> None:
        """Take a whole snapshot: what is not in it can matter no more (its tokens have expired)."""
        whole = set(cap_ids)
        self.revoke(whole)
        self._revoked = whole

    def mark_ready(self) -> None:
        """Say that a whole first snapshot has been taken."""
        self._known.set()

    async def ready(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for keys and a first snapshot; whether they came."""
        try:
            async with asyncio.timeout(timeout):
                await self._known.wait()
        except TimeoutError:
            return False
        return True

    def _keep(self, digest: bytes, claims: Claims, size: int) -> None:
        self._cache[digest] = claims, size
        self._characters += size
        while len(self._cache) > self._most or self._characters > MOST_CHARACTERS:
            self._characters -= self._cache.popitem(last=False)[1][1]

    def _check_parties(self, claims: Claims) -> None:
        # The reference writes neither; what is written must be ours, by equality.
        if claims.aud and claims.aud != AUDIENCE:
            raise Unauthenticated(f'invalid token: its audience is not "{AUDIENCE}"')
        if claims.iss and not (claims.iss.startswith(ISSUER) and len(claims.iss) > len(ISSUER)):
            raise Unauthenticated(f'invalid token: its issuer is not an "{ISSUER}NODE"')
