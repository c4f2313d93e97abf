# SPDX-License-Identifier: MIT
"""Handing on a part of a capability: what is wanted must lie inside what is held, or the answer says what would widen.

Two ways lead here. A holder *attenuates* his token: the child is for the same service. A token with the right
`identity.issue` *issues*: its other rights are the full names of the methods that it may hand out (`fs.open`). Both
bind the child to the parent: its prefix, its rate (shared, not copied), its end, and its revocation.
"""

from __future__ import annotations

import math

import msgspec

from strata.errors import InvalidArgument, PermissionDenied
from strata.policy.capability import EVERYBODY, MOST_PARENTS, Claims, Constraints, beneath, clean_prefix
from strata.policy.ratelimit import parse


class Grant(msgspec.Struct, frozen=True):
    """What a new capability is to say, beside its id and its signature. `exp` in nanoseconds since 1970."""

    service: str
    actions: tuple[str, ...]
    rights: tuple[str, ...]
    constraints: Constraints
    exp: int
    parents: tuple[str, ...] = ()
    owner: str = ""


class Wanted(msgspec.Struct, frozen=True):
    """What is asked of the parent; None or empty means as the parent has it.

    Once `actions` or `rights` is named, the other one, if not named, is empty: a child has what was asked for.
    """

    actions: tuple[str, ...] | None = None
    rights: tuple[str, ...] | None = None
    path_prefix: str = ""
    rate_limit: str = ""
    exp: int | None = None
    owner: str = ""


def narrow(parent: Claims, wanted: Wanted) -> Grant:
    """The child of a held token. Raises PermissionDenied naming what would widen, or InvalidArgument."""
    actions, rights = parent.actions, parent.rights
    if wanted.actions or wanted.rights:
        actions, rights = wanted.actions or (), wanted.rights or ()
    _inside("action", actions, parent.actions)
    _inside("right", rights, parent.rights)
    return _bound(parent, parent.service, actions, rights, wanted)


def delegate(issuer: Claims, service: str, wanted: Wanted) -> Grant:
    """What a token with the right `identity.issue` may issue. Raises as `narrow`."""
    actions, rights = wanted.actions or (), wanted.rights or ()
    _inside("method", tuple(f"{service}.{action}" for action in actions), issuer.rights)
    _inside("right", rights, issuer.rights)
    return _bound(issuer, service, actions, rights, wanted)


def _bound(parent: Claims, service: str, actions: tuple[str, ...], rights: tuple[str, ...], wanted: Wanted) -> Grant:
    if not actions and not rights:
        raise InvalidArgument("actions or rights required")
    if len(parent.parents) >= MOST_PARENTS:
        raise PermissionDenied(
            f"cannot attenuate: the token has {MOST_PARENTS} ancestors already, the most there may be"
        )
    exp = parent.exp if wanted.exp is None else wanted.exp
    if exp > parent.exp:
        raise PermissionDenied("cannot attenuate: ttl_seconds would outlive the parent")
    constraints = _constraints(parent, wanted)
    return Grant(
        service, actions, rights, constraints, exp, (*parent.parents, parent.jti), _owner(parent.owner, wanted.owner)
    )


def _constraints(parent: Claims, wanted: Wanted) -> Constraints:
    held = parent.constraints
    prefix = _prefix(held.path_prefix, wanted.path_prefix)
    root = held.path_root or held.path_prefix
    shared = held.shared_limits
    if held.rate_limit:
        shared = (*shared, (parent.jti, held.rate_limit))
    return Constraints(prefix, _rate(held, wanted.rate_limit), root if root != prefix else "", shared)


def _prefix(held: str, wanted: str) -> str:
    if not wanted:
        return held
    prefix = clean_prefix(wanted)
    # A capability without a prefix reaches no path at all, so that any prefix would widen it.
    if not held or not beneath(prefix, clean_prefix(held)):
        raise PermissionDenied(f"cannot attenuate: path_prefix {prefix} is outside the parent's {held or '(none)'}")
    return prefix


def _owner(held: str, wanted: str) -> str:
    if not wanted or wanted == held:
        return held
    # A capability without an owner reaches nobody's sessions, so that any owner would widen it.
    if held != EVERYBODY:
        raise PermissionDenied(f"cannot attenuate: the parent is for sessions of {held or 'nobody'}, not of {wanted}")
    return wanted


def _rate(held: Constraints, wanted: str) -> str:
    limits = [rate for _, rate in held.shared_limits] + ([held.rate_limit] if held.rate_limit else [])
    most = min((parse(rate) for rate in limits), default=math.inf)
    if wanted and parse(wanted) > most:
        raise PermissionDenied(f"cannot attenuate: rate_limit {wanted} is above the parent's {held.rate_limit}")
    return wanted or held.rate_limit


def _inside(noun: str, wanted: tuple[str, ...], held: tuple[str, ...]) -> None:
    for name in wanted:
        if name not in held:
            raise PermissionDenied(f'cannot attenuate: {noun} "{name}" is not the parent\'s')
