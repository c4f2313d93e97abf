# SPDX-License-Identifier: MIT
"""May this capability do this? Every step of the policy, and every odd path."""

from __future__ import annotations

import posixpath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strata.errors import InvalidArgument, PermissionDenied, ResourceExhausted, StrataError, Unauthenticated
from strata.policy.authorize import authorize, opening
from strata.policy.capability import Claims, Constraints, beneath, clean_prefix
from strata.policy.ratelimit import Buckets


def held(prefix: str = "/tmp", rate: str = "", **fields: Any) -> Claims:
    given = {"actions": ("open", "a.b")} | fields
    return Claims("cap", 0, 1, "fs", constraints=Constraints(prefix, rate), **given)


def judge(claims: Claims | None, method: str = "fs.open", path: str | None = None, strict: bool = False) -> str:
    return authorize(claims, method, path, buckets=Buckets(), strict=strict)


def test_042_no_claims_no_way() -> None:
    with pytest.raises(Unauthenticated, match=r"^token required$"):
        judge(None)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("fsopen", 'invalid method format: "fsopen"'),
        ("net.open", 'token not valid for service "net"'),
        ("fs.read", 'method "fs.read" not permitted'),
        ("fs.", 'method "fs." not permitted'),
        ("fs.open.x", 'method "fs.open.x" not permitted'),
    ],
)
def test_045_046_what_the_capability_does_not_name_is_refused(method: str, message: str) -> None:
    with pytest.raises(PermissionDenied) as caught:
        judge(held(), method)
    assert caught.value.message == message


def test_an_action_is_all_behind_the_first_dot() -> None:
    assert judge(held(), "fs.a.b") == ""


def test_047_a_right_is_the_full_name() -> None:
    assert judge(held(actions=(), rights=("fs.open",))) == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"actions": (), "rights": ("open",)},
        {"actions": ("fs.open",)},
        {"actions": ("*",), "rights": ("*",)},
        {"actions": (), "rights": ("fs.*",)},
        {"actions": ("OPEN",)},
    ],
)
def test_047_rights_and_actions_are_not_interchangeable_and_have_no_wildcards(fields: dict[str, Any]) -> None:
    with pytest.raises(PermissionDenied, match="not permitted"):
        judge(held(**fields))


@pytest.mark.parametrize(
    ("prefix", "path", "relative"),
    [
        ("/tmp", ".", "."),
        ("/tmp", "x", "x"),
        ("/tmp", "a//./b/", "a/b"),
        ("/tmp", "/tmp", "."),
        ("/tmp", "/tmp/", "."),
        ("/tmp", "/tmp/test.txt", "test.txt"),
        ("/tmp", "//tmp//x", "x"),
        ("/tmp", "a..b", "a..b"),
        ("/tmp", "..hidden", "..hidden"),
        ("/tmp", "...", "..."),
        ("/tmp/", "x", "x"),
        ("/", "etc/hostname", "etc/hostname"),
        ("/", "/etc/hostname", "etc/hostname"),
        ("/", "/", "."),
        ("//", "x", "x"),
    ],
)
def test_055_058_060_paths_inside_the_prefix_become_relative_to_it(prefix: str, path: str, relative: str) -> None:
    assert judge(held(prefix), path=path) == relative


@pytest.mark.parametrize(
    ("prefix", "path", "message"),
    [
        ("/tmp", "/etc/passwd", "path /etc/passwd outside allowed prefix /tmp"),
        ("/tmp", "/tmpevil", "path /tmpevil outside allowed prefix /tmp"),
        ("/tmp", "/", "path / outside allowed prefix /tmp"),
        ("/tmp", "../x", "path traversal not allowed"),
        ("/tmp", "sub/../../x", "path traversal not allowed"),
        ("/tmp", "/tmp/../etc", "path traversal not allowed"),
        ("/tmp", "a/..", "path traversal not allowed"),
        ("/", "..", "path traversal not allowed"),
    ],
)
def test_056_057_060_paths_outside_are_refused(prefix: str, path: str, message: str) -> None:
    with pytest.raises(PermissionDenied) as caught:
        judge(held(prefix), path=path)
    assert caught.value.message == message


@pytest.mark.parametrize("path", ["/etc/hostname", "../x", "x", "."])
def test_061_without_a_prefix_no_path_is_allowed(path: str) -> None:
    with pytest.raises(PermissionDenied, match="no path_prefix"):
        judge(held(""), path=path)


@pytest.mark.parametrize("prefix", ["tmp", "./tmp", "/tmp/../etc", "/t\0p"])
def test_a_prefix_that_cannot_be_meant_allows_nothing(prefix: str) -> None:
    with pytest.raises(PermissionDenied, match="path_prefix"):
        judge(held(prefix), path="x")


def test_055_strict_refuses_absolute_paths_even_inside() -> None:
    with pytest.raises(PermissionDenied, match=r"^absolute paths not allowed; use relative paths under path_prefix$"):
        judge(held(), path="/tmp/x", strict=True)
    assert judge(held(), path="x", strict=True) == "x"


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_062_076_an_empty_path_or_a_nul_is_an_invalid_argument(path: str) -> None:
    with pytest.raises(InvalidArgument):
        judge(held(), path=path)


@given(prefix=st.sampled_from(["/", "/tmp", "/a/b"]), path=st.text(st.sampled_from("/.ab~\0 "), max_size=12))
def test_whatever_is_allowed_lies_beneath_the_prefix(prefix: str, path: str) -> None:
    try:
        relative = judge(held(prefix), path=path)
    except StrataError:
        return
    assert not relative.startswith("/")
    assert ".." not in relative.split("/")
    full = posixpath.normpath(posixpath.join(prefix, relative))
    assert beneath(full, prefix)
    meant = posixpath.normpath(posixpath.join(prefix, path))
    assert full == "/" + meant.lstrip("/")


def test_the_path_is_judged_before_the_rate_is_charged() -> None:
    buckets, claims = Buckets(), held(rate="1rps")
    with pytest.raises(PermissionDenied):
        authorize(claims, "fs.open", "/etc", buckets=buckets)
    authorize(claims, "fs.open", "x", buckets=buckets)
    with pytest.raises(ResourceExhausted, match=r"^rate limit exceeded$"):
        authorize(claims, "fs.open", "x", buckets=buckets)


def test_050_a_rate_limit_that_cannot_be_read_fails_closed() -> None:
    with pytest.raises(InvalidArgument, match=r'^unparseable rate limit: "50rpm" \(expected format: "50rps"\)$'):
        judge(held(rate="50rpm"), path="x")


@pytest.mark.parametrize(
    ("constraints", "expected"),
    [
        (Constraints("/srv/a"), ("/srv/a", ".")),
        (Constraints("/srv/a/b", path_root="/srv"), ("/srv", "a/b")),
        (Constraints("/etc", path_root="/"), ("/", "etc")),
    ],
)
def test_a_prefix_is_opened_from_its_root(constraints: Constraints, expected: tuple[str, str]) -> None:
    assert opening(constraints) == expected


@pytest.mark.parametrize("constraints", [Constraints(), Constraints("/etc", path_root="/srv")])
def test_a_prefix_outside_its_root_is_refused(constraints: Constraints) -> None:
    with pytest.raises(PermissionDenied):
        opening(constraints)


@pytest.mark.parametrize(("text", "clean"), [("/", "/"), ("//a///b/./", "/a/b"), ("/a..b", "/a..b")])
def test_prefixes_are_cleaned(text: str, clean: str) -> None:
    assert clean_prefix(text) == clean


@pytest.mark.parametrize("text", ["", "a", "./a", "/a/../b", "/..", "/a\0", "/" + "a" * 4096])
def test_prefixes_that_are_not_plain_absolute_paths_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="path_prefix"):
        clean_prefix(text)
