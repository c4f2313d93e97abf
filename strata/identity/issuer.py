# SPDX-License-Identifier: MIT
"""Making tokens: what may stand in one, for how long, and its signature."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from strata.config import IdentitySettings
from strata.errors import InvalidArgument
from strata.identity.keys import KeyStore
from strata.policy.capability import AUDIENCE, SECOND, Claims, Constraints, encode
from strata.policy.narrow import Grant
from strata.policy.token import FORMATS, LONGEST
from strata.policy.trust import ISSUER


class Issued(NamedTuple):
    """A token and what it says."""

    token: str
    claims: Claims


class Issuer:
    """Signs grants with the current keys of the store."""

    def __init__(
        self, keys: KeyStore, node_id: str, settings: IdentitySettings, clock: Callable[[], int] = time.time_ns
    ) -> None:
        """`clock` is the wall clock in nanoseconds."""
        self._keys, self._settings, self.clock = keys, settings, clock
        self._iss = f"{ISSUER}{node_id}"

    def mint(self, grant: Grant, version: str, now: int) -> Issued:
        """A token for `grant`. Raises InvalidArgument when it would be too long to be accepted anywhere."""
        claims = Claims(
            os.urandom(16).hex(),
            now,
            grant.exp,
            grant.service,
            grant.actions,
            grant.rights,
            grant.constraints,
            self._iss,
            AUDIENCE,
            grant.parents,
            grant.owner,
        )
        token = self._keys.signers[version].sign(encode(claims))
        if len(token) > LONGEST:
            raise InvalidArgument(f"cannot issue: the token would have more than {LONGEST} characters; ask for less")
        return Issued(token, claims)

    def ttl(self, given: Any) -> int | None:
        """Nanoseconds of a ttl_seconds parameter; None when it asks for the default (absent, 0 or negative).

        Fractions are cut off. Raises InvalidArgument: beyond the maximum it is refused, not shortened.
        """
        if given is None:
            return None
        if isinstance(given, bool) or not isinstance(given, int | float) or math.isnan(given):
            raise InvalidArgument("ttl_seconds must be a number", param="ttl_seconds")
        if given <= 0:
            return None
        most = self._settings.max_ttl_seconds
        if not 1 <= given < most + 1:
            raise InvalidArgument(f"ttl_seconds must lie between 1 and {most}", param="ttl_seconds", max=most)
        return int(given) * SECOND

    @property
    def default_ttl(self) -> int:
        """Nanoseconds."""
        return self._settings.default_ttl_seconds * SECOND


def version(given: str) -> str:
    """A token format by name; "" is the reference's. Raises InvalidArgument."""
    if given and given not in FORMATS:
        raise InvalidArgument(f"format must be one of {', '.join(FORMATS)}", param="format")
    return given or FORMATS[0]


def names(noun: str, given: Any) -> tuple[str, ...]:
    """A list of action or right names, each once; what is no list with any string in it counts as absent (spec 1.7).

    Raises InvalidArgument for a list that mixes strings with something else, or has an empty one.
    """
    found = [name for name in given if isinstance(name, str) and name] if isinstance(given, list) else []
    if found and len(found) != len(given):
        raise InvalidArgument(f"{noun} must be a list of non-empty strings", param=noun)
    return tuple(dict.fromkeys(found))


def grant(
    service: str, actions: tuple[str, ...], rights: tuple[str, ...], limits: Constraints, exp: int, owner: str
) -> Grant:
    """What an operator asks for. Raises InvalidArgument."""
    if not actions and not rights:
        raise InvalidArgument("actions or rights required")
    return Grant(service, actions, rights, limits, exp, owner=owner)


def may_revoke(holder: Claims, cap_id: str, of: Claims | None) -> bool:
    """Whether the holder of a token may revoke `cap_id`: his own, or one that descends from it, shown by its token."""
    return holder.jti == cap_id or (of is not None and of.jti == cap_id and holder.jti in of.parents)
