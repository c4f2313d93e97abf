# SPDX-License-Identifier: MIT
"""Requests of HTTP/1 that somebody else might read in another way (strata/api/framing.py, RFC 9112)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from http_client import ask, head, raw
from rpc_door import Opened, opened

EXEC = "/api/sessions/a/b/exec"
BODY = b'{"command":"pwd"}'
CHUNKED = b"11\r\n" + BODY + b"\r\n0\r\n\r\n"
LAST = head("/api/nothing", "Connection: close", verb="GET")


@pytest.fixture
def door() -> Iterator[Opened]:
    with opened() as found:
        yield found


def statuses(told: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1.1 (\d+)", told)


def plain(*lines: str, verb: str = "GET", target: str = "/api/stats", version: str = "1.1") -> bytes:
    """A request with these lines and no others."""
    return "\r\n".join([f"{verb} {target} HTTP/{version}", "Connection: close", *lines, "", ""]).encode()


GOOD = "Authorization: Bearer good"


@pytest.mark.parametrize("trailer", [b"Authorization: Bearer good", b"authorization: bearer good"])
def test_credentials_in_a_trailer_are_none(door: Opened, trailer: bytes) -> None:
    """Who looked at the headers before the door has not seen them (RFC 9110, 6.5.1)."""
    request = plain("Host: localhost", "Transfer-Encoding: chunked", verb="POST", target=EXEC)
    told = raw(door, request + CHUNKED[:-2] + trailer + b"\r\n\r\n")
    assert statuses(told) == [b"401"]
    assert door.room.asked == []


@pytest.mark.parametrize("trailer", [b"X-Owner-Id: other", b"Host: evil.example", b"Authorization: Bearer bad"])
def test_a_trailer_changes_nothing(door: Opened, trailer: bytes) -> None:
    told = raw(door, head(EXEC, "Transfer-Encoding: chunked") + CHUNKED[:-2] + trailer + b"\r\n\r\n" + LAST)
    assert statuses(told) == [b"200", b"404"]
    assert door.room.last("sandbox.exec")["owner"] == "a"


@pytest.mark.parametrize("coding", ["gzip, chunked", "chunked, chunked", "identity", "xchunked"])
def test_other_transfer_codings_are_refused(door: Opened, coding: str) -> None:
    assert statuses(raw(door, head(EXEC, f"Transfer-Encoding: {coding}") + CHUNKED)) == [b"400"]
    assert door.room.asked == []


def test_chunks_in_http_1_0_are_refused(door: Opened) -> None:
    request = plain("Host: localhost", GOOD, "Transfer-Encoding: chunked", verb="POST", target=EXEC, version="1.0")
    assert statuses(raw(door, request + CHUNKED)) == [b"400"]


@pytest.mark.parametrize("version", ["0.9", "2.0", "1.2"])
def test_other_versions_are_refused(door: Opened, version: str) -> None:
    assert statuses(raw(door, plain("Host: localhost", GOOD, version=version))) == [b"400"]


@pytest.mark.parametrize(
    "hosts",
    [[], ["Host: localhost", "Host: localhost"], ["Host: me@localhost"], ["Host: localhost/evil"], ["Host: a b"]],
)
def test_a_request_has_one_host_that_can_be_one(door: Opened, hosts: list[str]) -> None:
    assert statuses(raw(door, plain(*hosts, GOOD))) == [b"400"]


def test_http_1_0_needs_no_host(door: Opened) -> None:
    assert statuses(raw(door, plain(GOOD, version="1.0"))) == [b"200"]


def test_a_host_in_the_target_counts_instead_of_the_header(door: Opened) -> None:
    """RFC 9112, 3.2.2: a proxy would have sent the request there."""
    assert statuses(raw(door, plain("Host: localhost", GOOD, target="http://evil.example/api/stats"))) == [b"403"]
    assert statuses(raw(door, plain("Host: evil.example", GOOD, target="http://[::1]:80/api/stats"))) == [b"200"]


@pytest.mark.parametrize("nonsense", [b"HELLO\r\n\r\n", b"GET /api/stats HTTP/1.1\r\n\r\n"])
def test_nonsense_behind_a_request_is_not_its_answer(door: Opened, nonsense: bytes) -> None:
    told = raw(door, head(EXEC, "Content-Length: 19") + b'{"command":"block"}' + nonsense)
    assert told == b""


def test_a_broken_chunk_ends_a_request_with_400(door: Opened) -> None:
    told = raw(door, head(EXEC, "Transfer-Encoding: chunked") + b"zz\r\n")
    assert statuses(told) == [b"400"]
    assert ask(door, "GET", "/api/stats").status == 200
