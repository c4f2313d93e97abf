# SPDX-License-Identifier: MIT
"""strata/policy/{authorize,narrow,ratelimit}.py: no path leads out of a prefix; no child can more than its parent."""

from __future__ import annotations

import posixpath

import msgspec
from targets.shape import Taken

from strata.errors import InvalidArgument, PermissionDenied, ResourceExhausted
from strata.policy import capability, narrow
from strata.policy.authorize import authorize, opening, permit
from strata.policy.capability import EVERYBODY, Claims, Constraints, beneath
from strata.policy.narrow import Grant, Wanted
from strata.policy.ratelimit import Buckets, parse

INSTRUMENT = ("strata.policy",)
SEEDS = (
    b"\x00\x00\x00\x02/srv\xffsub/file\xff",
    b"\x00\x00\x00\x02/srv/\xff/srv/../etc\xff",
    b"\x01\x01\x01\x03//srv//a/\xff/srvevil\xff",
    b"\x02\x03\x05\x07/\xff/\xff\x01\x01\x02\x03/srv/a\xff5rps\xff\x02",
    b"\x02\x03\x05\x07/srv\xff.\xff\x03\x01\x02\x03/srv/a/../b\xff1e3rps\xff\x07\x01\x02\x01/srv/b\xff0.5rps\xff\x01",
)
DICTIONARY = (
    b"/..",
    b"../",
    b"//",
    b"/./",
    b"/srv",
    b"\0",
    b"rps",
    b"1e9999rps",
    b".5rps",
    b" 5rps ",
    b"+1.rps",
    b"\xff",
    b"\\",
)
NAMES = ("open", "read", "fs.open", "fs.read", "sandbox.exec", "identity.issue", "", ".", "fs.", ".open", "open.fs")
RATES = ("", "5rps", "1rps", "0.5rps", "1e3rps", "rps", "5", "-1rps")
OWNERS = ("", "*", "a", "b")


def check(data: bytes) -> None:
    """A capability, a call with a path, and a chain of children."""
    taken = Taken(data)
    parent = Claims(
        *("root", 0, 1000, taken.choice(("fs", "sandbox", "")), _some(taken), _some(taken)),
        Constraints(taken.text(), taken.choice(RATES)),
        owner=taken.choice(OWNERS),
    )
    method, path = taken.choice(NAMES), taken.text()
    _called(parent, method, path)
    while taken and len(parent.parents) <= capability.MOST_PARENTS:
        child = _child(parent, taken)
        if child is None:
            return
        _no_wider(parent, child, method, path)
        parent = child
    _called(parent, method, path)


def _some(taken: Taken) -> tuple[str, ...]:
    bits = taken.byte()
    return tuple(name for number, name in enumerate(NAMES[:7]) if bits >> number & 1 and name)


def _reach(claims: Claims, method: str, path: str | None, strict: bool = False) -> str | None:
    """The absolute path that a call may touch; None when it is refused."""
    try:
        relative = authorize(claims, method, path, buckets=Buckets(clock=lambda: 0.0), strict=strict)
    except (InvalidArgument, PermissionDenied, ResourceExhausted):
        return None
    if path is None:
        return ""
    assert relative
    assert not relative.startswith("/")
    assert ".." not in relative.split("/")
    return posixpath.normpath(posixpath.join(capability.clean_prefix(claims.constraints.path_prefix), relative))


def _called(claims: Claims, method: str, path: str) -> None:
    reached = _reach(claims, method, path)
    if reached is None:
        assert _reach(claims, method, path, strict=True) is None
        return
    prefix = posixpath.normpath("/" + claims.constraints.path_prefix.lstrip("/"))
    assert beneath(reached, prefix), (reached, prefix)
    assert "\0" not in reached
    assert not reached.startswith("//")
    assert _reach(claims, method, None) == ""
    root, rest = opening(claims.constraints)
    assert posixpath.normpath(posixpath.join(root, rest)) == prefix
    assert claims.service == method.partition(".")[0]
    assert method in claims.rights or method.partition(".")[2] in claims.actions


def _child(parent: Claims, taken: Taken) -> Claims | None:
    wanted = Wanted(
        *(_some(taken) or None, _some(taken) or None, taken.text(), taken.choice((*RATES, taken.text()))),
        exp=taken.choice((None, parent.exp, parent.exp - 1, parent.exp + 1)),
        owner=taken.choice(OWNERS),
    )
    delegated = taken.byte() % 4 == 0
    try:
        grant = narrow.delegate(parent, "fs", wanted) if delegated else narrow.narrow(parent, wanted)
    except (InvalidArgument, PermissionDenied):
        return None
    _bound(parent, grant, delegated)
    return Claims(
        f"{parent.jti}.", 0, grant.exp, grant.service, grant.actions, grant.rights, grant.constraints,
        parents=grant.parents, owner=grant.owner,
    )  # fmt: skip


def _bound(parent: Claims, grant: Grant, delegated: bool) -> None:
    """What binds every child, of either kind."""
    assert grant.exp <= parent.exp
    assert grant.parents == (*parent.parents, parent.jti)
    assert parent.owner == EVERYBODY or grant.owner == parent.owner
    held = parent.constraints
    assert grant.constraints.path_prefix == held.path_prefix or beneath(
        grant.constraints.path_prefix, capability.clean_prefix(held.path_prefix)
    )
    if held.rate_limit:
        assert (parent.jti, held.rate_limit) in grant.constraints.shared_limits
    assert set(held.shared_limits) <= set(grant.constraints.shared_limits)
    for name in grant.actions:
        assert f"{grant.service}.{name}" in parent.rights if delegated else name in parent.actions
    for name in grant.rights:
        assert name in parent.rights
    encoded = msgspec.json.encode(grant.constraints)
    assert msgspec.json.decode(encoded, type=Constraints) == grant.constraints


def _no_wider(parent: Claims, child: Claims, method: str, path: str) -> None:
    """Whatever the child may call, and wherever it may reach, its parent may too; neither more often."""
    if child.service == parent.service:
        for name in (*NAMES, method, *(f"{child.service}.{action}" for action in NAMES)):
            assert not _permits(child, name) or _permits(parent, name), name
    reached = _reach(child, method, path)
    if reached is not None:
        prefix = capability.clean_prefix(parent.constraints.path_prefix)
        assert beneath(reached, prefix), (reached, prefix)
    assert _calls(child) <= _calls(parent), (parent, child)


def _permits(claims: Claims, method: str) -> bool:
    try:
        permit(claims, method)
    except PermissionDenied:
        return False
    return True


def _calls(claims: Claims) -> int:
    """How many calls pass at one moment, of a hundred; a limit that cannot be read lets none pass."""
    buckets, passed = Buckets(clock=lambda: 0.0), 0
    for _ in range(100):
        try:
            buckets.charge(claims)
        except ResourceExhausted:
            break
        except InvalidArgument:
            assert not all(_readable(rate) for _, rate in claims.constraints.shared_limits) or not _readable(
                claims.constraints.rate_limit
            )
            return 0
        passed += 1
    return passed


def _readable(rate: str) -> bool:
    try:
        return parse(rate) > 0
    except InvalidArgument:
        return False
