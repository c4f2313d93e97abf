# SPDX-License-Identifier: MIT
"""The methods of the identity service.

Who may issue: an operator, or a token of service `identity` with the right `identity.issue`; such a token never hands
out more than it holds (strata.policy.narrow). Whoever holds a token may attenuate, explain and revoke it.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from strata.errors import InvalidArgument, PermissionDenied, StrataError, Unauthenticated
from strata.identity import audit, issuer
from strata.identity import params as p
from strata.identity.issuer import Issued, Issuer
from strata.identity.keys import KeyStore
from strata.identity.lifetimes import Verifier
from strata.identity.revocations import Revocations
from strata.identity.verifiers import Verifiers
from strata.policy import ratelimit
from strata.policy.authorize import authorize
from strata.policy.capability import LONGEST_ID, Claims, Constraints, clean_prefix, owner_name, wire
from strata.policy.gate import Gate
from strata.policy.narrow import Wanted, delegate, narrow
from strata.policy.trust import Trust
from strata.sockets.method import Call, Empty, Method
from strata.types import Access

MOST_WAIT_MS = 60_000
# Dynamic users are processes of units (systemd.io/UIDS-GIDS): a service of ours under DynamicUser= is one of them.
_DYNAMIC_UIDS = range(61_184, 65_520)


class Room(NamedTuple):
    """What the handlers share."""

    keys: KeyStore
    issuer: Issuer
    revocations: Revocations
    verifiers: Verifiers
    trust: Trust
    gate: Gate


def issue(room: Room, call: Call, params: p.IssueParams) -> dict[str, Any]:
    """A new capability. Raises InvalidArgument, PermissionDenied."""
    actions, rights = issuer.names("actions", params.actions), issuer.names("rights", params.rights)
    ttl, version = room.issuer.ttl(params.ttl_seconds), issuer.version(params.format)
    prefix = clean_prefix(params.path_prefix) if params.path_prefix else ""
    if params.rate_limit:
        ratelimit.parse(params.rate_limit)
    now = room.issuer.clock()
    if call.claims is None:
        exp = now + (room.issuer.default_ttl if ttl is None else ttl)
        limits = Constraints(prefix, params.rate_limit.strip(" "))
        grant = issuer.grant(params.service, actions, rights, limits, exp, owner_name(params.owner))
    else:
        held: Claims = call.claims
        exp = min(now + room.issuer.default_ttl, held.exp) if ttl is None else now + ttl
        wanted = Wanted(actions, rights, prefix, params.rate_limit.strip(" "), exp, owner_name(params.owner))
        grant = delegate(held, params.service, wanted)
    return _answer(call, "cap.issued", room.issuer.mint(grant, version, now))


def attenuate(room: Room, call: Call, params: p.AttenuateParams) -> dict[str, Any]:
    """A narrower child of a held token. Raises Unauthenticated, PermissionDenied, InvalidArgument."""
    parent = room.trust.verify(params.token)
    ttl, now = room.issuer.ttl(params.ttl_seconds), room.issuer.clock()
    wanted = Wanted(
        _subset("actions", params.actions),
        _subset("rights", params.rights),
        params.path_prefix,
        params.rate_limit.strip(" "),
        None if ttl is None else now + ttl,
        owner_name(params.owner),
    )
    version = issuer.version(params.format) if params.format else params.token[: len("v2.public")]
    return _answer(call, "cap.attenuated", room.issuer.mint(narrow(parent, wanted), version, now))


async def revoke(room: Room, call: Call, params: p.RevokeParams) -> dict[str, Any]:
    """Refuse a capability and its descendants everywhere; returns when every live verifier does.

    Raises Unauthenticated, PermissionDenied, InvalidArgument; ResourceExhausted when it is in force but not durable, or
    when holders have revoked too much of one family.
    """
    if len(params.cap_id) > LONGEST_ID:
        raise InvalidArgument(f"cap_id must have at most {LONGEST_ID} characters", param="cap_id")
    revision = room.revocations.add(params.cap_id, _revoking_family(room, call, params))
    room.trust.revoke((params.cap_id,))
    room.verifiers.tell()
    audit.later("cap.revoked", call, params.cap_id)
    saved, missing = await asyncio.gather(
        room.revocations.save(), room.verifiers.confirmed(revision), return_exceptions=True
    )
    if isinstance(saved, BaseException):
        raise saved
    return {"status": "revoked"} | ({"unconfirmed": missing} if missing else {})


def introspect(room: Room, call: Call, params: p.IntrospectParams) -> dict[str, Any]:
    """The claims of a token of ours, and whether it is still good. Raises Unauthenticated for any other token."""
    claims = room.trust.read(params.token)
    answer: dict[str, Any] = {"claims": wire(claims), "active": True, "revoked": room.trust.revoked(claims)}
    try:
        room.trust.check(claims)
    except StrataError as error:
        answer |= {"active": False, "reason": error.message}
    return answer


def keys(room: Room, call: Call, params: Empty) -> dict[str, Any]:
    """The public keys that verify now."""
    current = {key.id for key in room.keys.current()}
    return {"keys": [audit.described(key) | {"current": key.id in current} for key in room.keys.verifying()]}


async def rotate(room: Room, call: Call, params: p.RotateParams) -> dict[str, Any]:
    """New signing keys. Returns when every live verifier knows them. Raises Conflict, ResourceExhausted."""
    if params.overlap_seconds is not None and params.overlap_seconds < 0:
        raise InvalidArgument("overlap_seconds must not be negative", param="overlap_seconds")
    room.keys.rotate(params.overlap_seconds)
    room.trust.set_keys(room.keys.verifying())
    revision = room.revocations.add("")
    room.verifiers.tell()
    audit.later("key.rotated", call, resource=" ".join(key.id for key in room.keys.current()))
    missing = await room.verifiers.confirmed(revision)
    return {"status": "rotated"} | keys(room, call, Empty()) | ({"unconfirmed": missing} if missing else {})


async def revocations(room: Room, call: Call, params: p.RevocationsParams) -> dict[str, Any]:
    """What was revoked after `since`, and the keys: at once if there is news, else within `wait_ms`."""
    if not 0 <= params.wait_ms <= MOST_WAIT_MS or params.since < 0:
        raise InvalidArgument(f"wait_ms must lie between 0 and {MOST_WAIT_MS}, and since not below 0")
    # Anybody may read along, but nobody waits for a stranger's confirmation.
    if params.verifier and (room.gate.is_operator(call.peer) or call.peer.uid in _DYNAMIC_UIDS):
        room.verifiers.acknowledge(Verifier(call.peer.pid, params.verifier), params.since)
    if params.since and params.since == room.revocations.revision and params.wait_ms:
        await room.verifiers.news(params.wait_ms / 1000)
    page = room.revocations.page(params.since)
    verifying = room.keys.verifying()
    room.trust.set_keys(verifying)  # an overlap may have ended
    return {
        "revision": page.revision,
        "revoked": page.cap_ids,
        "keys": [audit.described(key) for key in verifying],
        "reset": page.reset,
        "more": page.more,
    }


def _revoking_family(room: Room, call: Call, params: p.RevokeParams) -> str:
    """The family of the holder who may revoke this, "" for an operator. Raises Unauthenticated, PermissionDenied."""
    if room.gate.is_operator(call.peer):
        return ""
    if not call.token:
        raise Unauthenticated("token required")
    holder = room.trust.verify(call.token)
    of = room.trust.read(params.token) if params.token else None
    if issuer.may_revoke(holder, params.cap_id, of):
        return holder.family
    try:
        authorize(holder, call.method, buckets=room.gate.buckets)
    except PermissionDenied as error:
        raise PermissionDenied(
            "cannot revoke: the token is neither this capability nor its ancestor, and lacks the right identity.revoke",
            cap_id=holder.jti,
        ) from error
    return ""


def _subset(noun: str, given: Any) -> tuple[str, ...] | None:
    """In an attenuation an empty or odd list is refused: it must not quietly mean all that the parent has."""
    if given is None:
        return None
    if not (names := issuer.names(noun, given)):
        raise InvalidArgument(f"{noun} must be a list of non-empty strings", param=noun)
    return names


def _answer(call: Call, event: str, issued: Issued) -> dict[str, Any]:
    claims = issued.claims
    audit.later(event, call, claims.jti, claims.constraints.path_prefix or claims.service)
    return {"token": issued.token, "cap_id": claims.jti, "expires": claims.exp // 1_000_000_000}


METHODS: tuple[Method, ...] = (
    Method("identity.issue", Access.OPERATOR, p.IssueParams, issue, "sign a new capability"),
    Method("identity.attenuate", Access.OPEN, p.AttenuateParams, attenuate, "sign a narrower child of a held token"),
    Method(
        "identity.revoke",
        Access.OPEN,
        p.RevokeParams,
        revoke,
        "refuse a capability and its descendants; for operators, its holder, and holders of an ancestor",
    ),
    Method("identity.introspect", Access.OPEN, p.IntrospectParams, introspect, "explain a held token"),
    Method("identity.keys", Access.OPEN, Empty, keys, "public keys that verify tokens"),
    Method("identity.rotate", Access.OPERATOR, p.RotateParams, rotate, "sign with new keys from now on"),
    Method(
        "identity.revocations",
        Access.OPEN,
        p.RevocationsParams,
        revocations,
        "long poll for what is revoked and for the keys",
        cancel=True,
    ),
)
