# SPDX-License-Identifier: MIT
"""Handing on: over no chain of attenuations and delegations does a capability ever grow."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strata.errors import InvalidArgument, PermissionDenied, StrataError
from strata.policy.authorize import authorize, opening
from strata.policy.capability import MOST_PARENTS, Claims, Constraints, beneath
from strata.policy.narrow import Grant, Wanted, delegate, narrow
from strata.policy.ratelimit import Buckets, parse

PARENT = Claims("p", 0, 1000, "fs", ("open", "read"), ("fs.stat",), Constraints("/srv/data", "10rps"), owner="alice")


def claims(grant: Grant, jti: str) -> Claims:
    return Claims(jti, 0, grant.exp, grant.service, grant.actions, grant.rights, grant.constraints,
                  parents=grant.parents, owner=grant.owner)  # fmt: skip


def test_what_is_not_asked_for_is_as_in_the_parent() -> None:
    child = narrow(PARENT, Wanted())
    assert (child.actions, child.rights, child.exp) == (PARENT.actions, PARENT.rights, PARENT.exp)
    assert child.constraints == Constraints("/srv/data", "10rps", shared_limits=(("p", "10rps"),))
    assert child.parents == ("p",)
    assert child.owner == "alice"


def test_once_actions_are_named_unnamed_rights_are_gone() -> None:
    child = narrow(PARENT, Wanted(actions=("read",)))
    assert (child.actions, child.rights) == (("read",), ())


def test_a_narrower_prefix_remembers_where_it_began() -> None:
    child = claims(narrow(PARENT, Wanted(path_prefix="/srv/data/a/")), "c")
    grandchild = narrow(child, Wanted(path_prefix="/srv/data/a/b"))
    assert child.constraints.path_root == "/srv/data"
    assert opening(grandchild.constraints) == ("/srv/data", "a/b")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted(actions=("write",)), 'action "write" is not the parent\'s'),
        (Wanted(rights=("fs.open",)), 'right "fs.open" is not the parent\'s'),
        (Wanted(owner="bob"), "the parent is for sessions of alice, not of bob"),
        (Wanted(owner="*"), "the parent is for sessions of alice, not of *"),
        (Wanted(path_prefix="/srv"), "path_prefix /srv is outside the parent's /srv/data"),
        (Wanted(path_prefix="/srv/database"), "path_prefix /srv/database is outside the parent's /srv/data"),
        (Wanted(rate_limit="11rps"), "rate_limit 11rps is above the parent's 10rps"),
        (Wanted(exp=1001), "ttl_seconds would outlive the parent"),
    ],
)
def test_a_wider_child_is_refused_and_told_why(wanted: Wanted, message: str) -> None:
    with pytest.raises(PermissionDenied) as caught:
        narrow(PARENT, wanted)
    assert caught.value.message == f"cannot attenuate: {message}"


@pytest.mark.parametrize(
    "wanted", [Wanted(path_prefix="data"), Wanted(path_prefix="/srv/data/../x"), Wanted(rate_limit="x")]
)
def test_what_cannot_be_read_is_an_invalid_argument(wanted: Wanted) -> None:
    with pytest.raises(InvalidArgument):
        narrow(PARENT, wanted)


def test_a_capability_for_everybody_can_be_narrowed_to_one_owner() -> None:
    everybody = msgspec.structs.replace(PARENT, owner="*")
    assert narrow(everybody, Wanted(owner="bob")).owner == "bob"
    assert narrow(everybody, Wanted()).owner == "*"


def test_a_capability_for_nobody_stays_so() -> None:
    with pytest.raises(PermissionDenied, match="sessions of nobody"):
        narrow(msgspec.structs.replace(PARENT, owner=""), Wanted(owner="bob"))


def test_a_parent_without_a_prefix_has_no_path_to_hand_on() -> None:
    with pytest.raises(PermissionDenied, match="none"):
        narrow(Claims("p", 0, 9, "fs", ("open",)), Wanted(path_prefix="/tmp"))


def test_ancestors_are_at_most_sixteen() -> None:
    child = Claims("c", 0, 9, "fs", ("open",))
    for number in range(MOST_PARENTS):
        child = claims(narrow(child, Wanted()), f"c{number}")
    assert len(child.parents) == MOST_PARENTS
    with pytest.raises(PermissionDenied, match="16 ancestors"):
        narrow(child, Wanted())


ISSUER = Claims("i", 0, 1000, "identity", (), ("identity.issue", "fs.open", "fs.read"), Constraints("/srv", "9rps"))


def test_an_issuing_token_hands_out_the_methods_that_its_rights_name() -> None:
    child = delegate(ISSUER, "fs", Wanted(actions=("open",), rights=("fs.read",), path_prefix="/srv/a"))
    assert child == Grant(
        "fs", ("open",), ("fs.read",), Constraints("/srv/a", "9rps", "/srv", (("i", "9rps"),)), 1000, ("i",)
    )


@pytest.mark.parametrize(
    ("service", "wanted"),
    [
        ("fs", Wanted(actions=("write",))),
        ("net", Wanted(actions=("open",))),
        ("fs", Wanted(rights=("fs.write",))),
        ("identity", Wanted(rights=("identity.revoke",))),
        ("fs", Wanted(actions=("open",), path_prefix="/etc")),
        ("fs", Wanted(actions=("open",), rate_limit="10rps")),
        ("fs", Wanted(actions=("open",), exp=1001)),
    ],
)
def test_an_issuing_token_never_exceeds_itself(service: str, wanted: Wanted) -> None:
    with pytest.raises(PermissionDenied):
        delegate(ISSUER, service, wanted)


def test_an_issuing_token_must_say_what_to_issue() -> None:
    with pytest.raises(InvalidArgument, match=r"^actions or rights required$"):
        delegate(ISSUER, "fs", Wanted())


NAMES = st.lists(st.sampled_from(["open", "read", "list", "fs.open", "fs.stat"]), max_size=3, unique=True).map(tuple)
WANTED = st.builds(
    Wanted,
    actions=st.none() | NAMES,
    rights=st.none() | NAMES,
    path_prefix=st.sampled_from(["", "/", "/a", "/a/b", "/a/b/c", "/ab", "//a/./b", "/a/..", "x"]),
    rate_limit=st.sampled_from(["", "1rps", "0.5rps", "50rps", "nonsense"]),
    exp=st.none() | st.integers(0, 100),
)
ROOTS = st.builds(
    lambda actions, rights, prefix, rate, exp: Claims("0", 0, exp, "fs", actions, rights, Constraints(prefix, rate)),
    NAMES,
    NAMES,
    st.sampled_from(["", "/", "/a", "/a/b"]),
    st.sampled_from(["", "1rps", "10rps"]),
    st.integers(0, 100),
)


def powers(held: Claims) -> set[tuple[str, str]]:
    """Every method and path of a small world that the capability opens."""
    found = set()
    for method in ("fs.open", "fs.read", "fs.list", "fs.stat", "fs.fs.open"):
        for path in ("/x", "/a/x", "/a/b/x", "/a/b/c/x", "/ab/x"):
            try:
                authorize(held, method, path, buckets=Buckets())
            except StrataError:
                continue
            found.add((method, path))
    return found


@given(ROOTS, st.lists(WANTED, max_size=5))
def test_attenuation_never_widens_over_any_chain(root: Claims, chain: list[Wanted]) -> None:
    parent = root
    for number, wanted in enumerate(chain, 1):
        try:
            child = claims(narrow(parent, wanted), str(number))
        except StrataError:
            continue
        assert powers(child) <= powers(parent) <= powers(root)
        assert child.exp <= parent.exp
        assert child.service == root.service
        assert child.parents == (*parent.parents, parent.jti)
        if parent.constraints.rate_limit:
            assert parse(child.constraints.rate_limit) <= parse(parent.constraints.rate_limit)
            assert (parent.jti, parent.constraints.rate_limit) in child.constraints.shared_limits
        if child.constraints.path_prefix:
            assert beneath(opening(child.constraints)[0], root.constraints.path_prefix)
        parent = child
