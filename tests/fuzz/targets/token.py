# SPDX-License-Identifier: MIT
"""strata/policy/{token,capability,trust}.py: tokens bent after they were signed, and hostile claims well signed."""

from __future__ import annotations

import base64
import contextlib
import json

import msgspec
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair
from targets.shape import Taken, members

from strata.errors import InvalidArgument, PermissionDenied, Unauthenticated
from strata.policy import capability, token
from strata.policy.capability import SECOND, Claims, Constraints
from strata.policy.trust import Trust

INSTRUMENT = ("strata.policy",)
_PAIRS = {version: crypto_sign_seed_keypair(bytes([number]) * 32) for number, version in enumerate(token.FORMATS, 1)}
KEYS = tuple(token.PublicKey(version, public) for version, (public, _) in _PAIRS.items())
NOW = 1_800_000_000 * SECOND


def signed(version: str, message: bytes) -> str:
    """What our identity would have made of that message."""
    signature = crypto_sign(token.pre_auth(version, message), _PAIRS[version][1])[:64]
    return f"{version}.{base64.urlsafe_b64encode(message + signature).rstrip(b'=').decode()}"


_CLAIMS = Claims(
    "c1", NOW, NOW + 60 * SECOND, "fs", ("open",), ("fs.read",), Constraints("/srv", "5rps"), "identity@n", "strata"
)
_CHILD = msgspec.structs.replace(
    _CLAIMS,
    jti="c2",
    parents=("c1",),
    constraints=Constraints("/srv/a", "1.5rps", "/srv", (("c1", "5rps"),)),
    owner="*",
    nbf=NOW,
)
_GOOD = [signed(version, capability.encode(claims)) for version in token.FORMATS for claims in (_CLAIMS, _CHILD)]
SEEDS = (
    *(b"\x00" + good.encode() for good in _GOOD),
    *(b"\x01" + capability.encode(claims) for claims in (_CLAIMS, _CHILD)),
    b"\x01" + capability.encode(_CLAIMS).replace(b"}}", b'},"jti":"twice"}'),
    *(bytes([2, number, 0, 5, 1, 7, 40]) for number in range(4)),
    b"\x03\x05",
)
DICTIONARY = (
    *(f'"{field}":'.encode() for field in ("jti", "sub", "iat", "exp", "service", "actions", "rights", "constraints")),
    *(f'"{field}":'.encode() for field in ("iss", "aud", "parents", "owner", "nbf", "path_prefix", "rate_limit")),
    *(b'"path_root":', b'"shared_limits":', b'"strata"', b'"identity@n"', b'"capability"', b"null", b"v2.public."),
    *(
        b"v4.public.",
        b'"2027-01-15T08:00:00Z"',
        b'"9999-12-31T23:59:59.999999999+23:59"',
        b'"0001-01-01T00:00:00-23:59"',
    ),
)
_KEYS = (
    *(
        "jti",
        "sub",
        "iat",
        "exp",
        "service",
        "actions",
        "rights",
        "constraints",
        "iss",
        "aud",
        "parents",
        "owner",
        "nbf",
    ),
    *("path_prefix", "rate_limit", "path_root", "shared_limits", "other"),
)
_WORDS = (
    *(
        "capability",
        "c1",
        "fs",
        "open",
        "fs.open",
        "/srv",
        "/srv/../etc",
        "5rps",
        "strata",
        "identity@n",
        "identity@",
        "*",
    ),
    *(
        "2027-01-15T08:00:00Z",
        "2027-01-15T08:00:00.5+01:00",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "",
    ),
    *("2027-02-30T00:00:00Z", "2027-01-15T08:00:60Z", "\0", "é", "x" * 129),
)


def check(data: bytes) -> None:
    """The first byte: a token as it is, a message that is signed as it is, claims put together, or a good one bent."""
    taken = Taken(data)
    way = taken.byte() % 4
    if way == 0:
        _judged(taken.rest().decode("utf-8", "surrogateescape"), forged=True)
    elif way == 1:
        _message(taken.rest())
    elif way == 2:
        base = json.loads(capability.encode(taken.choice((_CLAIMS, _CHILD))))
        bent = members(taken, _KEYS, _WORDS)
        base["constraints"] |= {key: bent.pop(key) for key in list(bent) if key in Constraints.__struct_fields__}
        _message(json.dumps(base | bent).encode())
    else:
        _bent(taken)


def _message(message: bytes) -> None:
    """Whatever stands in a message that is well signed, it is read as one thing or refused."""
    for version in token.FORMATS:
        if len(made := signed(version, message)) <= token.LONGEST:
            _judged(made, forged=False)
    try:
        claims = capability.decode(message)
    except InvalidArgument:
        return
    again = capability.decode(capability.encode(claims))
    assert again == claims, (again, claims)
    assert claims.sub == capability.SUBJECT
    assert claims.jti
    assert claims.service


def _bent(taken: Taken) -> None:
    """A change of any character of a good token makes it no token at all, or leaves it as it was."""
    good = taken.choice(_GOOD)
    at = taken.number(len(good))
    made = good[:at] + taken.text() + good[at + taken.byte() % 4 :]
    _judged(made, forged=made not in _GOOD)


def _judged(made: str, forged: bool) -> None:
    trust = Trust(clock=lambda: NOW + SECOND)
    trust.set_keys(KEYS)
    verified = None
    with contextlib.suppress(Unauthenticated):
        verified = token.verify(made, KEYS)
    assert verified is None or not forged or made in _GOOD, "a signature was forged"
    for _ in range(2):  # the second time from the cache
        try:
            found = trust.verify(made)
        except (Unauthenticated, PermissionDenied):
            found = None
        assert found is None or found == verified
        assert found is None or found.iat <= NOW + SECOND + 60 * SECOND <= found.exp + 60 * SECOND
    _revoked(trust, made, verified)


def _revoked(trust: Trust, made: str, claims: Claims | None) -> None:
    if claims is None:
        return
    for cap_id in (claims.jti, *claims.parents):
        fresh = Trust(clock=lambda: NOW + SECOND)
        fresh.set_keys(KEYS)
        fresh.revoke([cap_id])
        try:
            fresh.verify(made)
        except (Unauthenticated, PermissionDenied):
            continue
        raise AssertionError(f"{cap_id} is revoked")
