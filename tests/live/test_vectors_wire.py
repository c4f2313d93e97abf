# SPDX-License-Identifier: MIT
"""Vectors 001 to 014: frames and envelopes, on the sockets of a running Strata."""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path

import pytest
import wire
from node import Node
from wire import LIMIT, Wire

NAMES = {
    1: "INVALID_ARGUMENT",
    2: "UNAUTHENTICATED",
    3: "PERMISSION_DENIED",
    4: "NOT_FOUND",
    5: "INTERNAL",
    6: "UNAVAILABLE",
    7: "RESOURCE_EXHAUSTED",
    8: "CONFLICT",
}
SERVICES = ("supervisor", "registry", "identity", "fs")


def assert_alive(strata: Node, service: str = "registry") -> None:
    """The daemon answers a newcomer, on the process that it had."""
    code, message = strata.refusal(f"{service}.nope")
    assert (code, message) == (1, f"unknown method: {service}.nope")


def assert_refused_and_closed(connection: Wire) -> None:
    """Either closed without a word, or code 1 with an empty req_id and then closed (spec 1.4)."""
    reply = connection.reply_or_end()
    if reply is not None:
        assert (reply["req_id"], wire.error(reply)[0]) == ("", 1)
        assert connection.reply_or_end() is None


def test_001_one_frame_gets_one_framed_reply_with_its_req_id(strata: Node) -> None:
    """4-byte BE length + valid registry.list -> one framed reply, v 1, same req_id, ok true, services array."""
    payload = json.dumps({"v": 1, "req_id": "abc-123", "method": "registry.list"}).encode()
    with strata.connect("registry") as connection:
        connection.send(len(payload).to_bytes(4, "big") + payload)
        reply = connection.reply()
        assert (reply["v"], reply["req_id"], reply["ok"]) == (1, "abc-123", True)
        assert isinstance(reply["result"]["services"], list)
        connection.sock.shutdown(socket.SHUT_WR)
        assert connection.reply_or_end() is None  # no second one


def test_002_pipelined_requests_are_answered_in_order(strata: Node) -> None:
    """Three requests pipelined in one write -> three replies in order, same connection."""
    with strata.connect("registry") as connection:
        connection.send(b"".join(wire.request("registry.list", req_id=f"n{i}") for i in range(3)))
        assert [connection.reply()["req_id"] for _ in range(3)] == ["n0", "n1", "n2"]


def test_003_a_frame_of_exactly_one_mebibyte_is_answered(strata: Node) -> None:
    """Frame of exactly 1 048 576 bytes (padded unknown field) -> normal reply."""
    bare = len(wire.request("registry.list", padding="")) - 4
    framed = wire.request("registry.list", padding="x" * (LIMIT - bare))
    assert len(framed) == 4 + LIMIT
    with strata.connect("registry") as connection:
        connection.send(framed)
        wire.result(connection.reply())


def test_004_a_header_over_the_limit_closes_the_connection(strata: Node) -> None:
    """Header announcing 1 048 577 -> connection closed, no reply, daemon alive."""
    with strata.connect("registry") as connection:
        connection.send((LIMIT + 1).to_bytes(4, "big"))
        assert connection.reply_or_end() is None
    assert_alive(strata)


def test_005_an_empty_frame_closes_the_connection(strata: Node) -> None:
    """Header announcing 0 -> closed (or code 1 then closed); daemon alive."""
    with strata.connect("registry") as connection:
        connection.send(bytes(4))
        assert_refused_and_closed(connection)
    assert_alive(strata)


@pytest.mark.parametrize("payload", ["{", "[]", '"x"', "{} {}", '{"v":1.0}', '{"v":1,"req_id":5}', '{"params":[]}'])
def test_006_a_malformed_payload_closes_the_connection(strata: Node, payload: str) -> None:
    """Payload `{` / `[]` / `"x"` (and the other type errors of 1.4) -> closed, or code 1 with empty req_id and closed.

    `v: 1.0` is JSON's way to write 1, and may be answered as such.
    """
    with strata.connect("registry") as connection:
        connection.send(wire.frame(payload.encode()))
        if payload == '{"v":1.0}' and (reply := connection.reply_or_end()) is not None:
            assert wire.error(reply)[0] == 1
        else:
            assert_refused_and_closed(connection)
    assert_alive(strata)


def test_007_another_version_is_refused_and_the_connection_stays(strata: Node) -> None:
    """`{"v":2,...}` -> code 1 INVALID_ARGUMENT, message mentions version; same connection still usable."""
    with strata.connect("registry") as connection:
        reply = connection.ask("registry.list", v=2)
        code, message = wire.error(reply)
        assert (code, reply["error"]["name"]) == (1, "INVALID_ARGUMENT")
        assert "version" in message
        wire.result(connection.ask("registry.list"))


@pytest.mark.parametrize("payload", ["{}", "null"])
def test_008_an_empty_request_is_a_version_error(strata: Node, payload: str) -> None:
    """`{}` or `null` -> code 1, req_id ""."""
    with strata.connect("registry") as connection:
        connection.send(wire.frame(payload.encode()))
        reply = connection.reply()
        assert reply["req_id"] == ""
        assert wire.error(reply)[0] == 1


@pytest.mark.parametrize("method", ["nope", "identity.issue"])
def test_009_a_method_exists_only_on_its_own_socket(strata: Node, method: str) -> None:
    """Method `nope` and method `identity.issue` sent to registry.sock -> code 1 `unknown method: …`."""
    with strata.connect("registry") as connection:
        assert wire.error(connection.ask(method)) == (1, f"unknown method: {method}")


def test_010_unknown_fields_and_nulls_are_no_fault(strata: Node) -> None:
    """Extra unknown top-level field, params null, auth null -> handled normally."""
    envelope = {"v": 1, "req_id": "x", "method": "registry.list", "params": None, "auth": None, "extra": {"a": [1]}}
    with strata.connect("registry") as connection:
        connection.send(wire.frame(json.dumps(envelope).encode()))
        wire.result(connection.reply())


def test_011_a_peer_that_dies_within_a_frame_disturbs_nobody(strata: Node) -> None:
    """Half a header then close; header then half payload then close -> no effect on other clients."""
    framed = wire.request("registry.list")
    with strata.connect("registry") as other:
        for cut in (2, 4, len(framed) // 2):
            with strata.connect("registry") as connection:
                connection.send(framed[:cut])
            wire.result(other.ask("registry.list"))
    assert_alive(strata)


def test_012_every_error_has_code_name_and_message(strata: Node, tree: Path) -> None:
    """Every error has code, name, message, and name matches the 8-entry table."""
    one_call = strata.issue(path_prefix=str(tree), rate_limit="0.01rps").token
    wire.result(strata.ask("fs.list", {"path": "."}, token=one_call))
    token = strata.issue(path_prefix=str(tree)).token
    seen = {
        1: strata.ask("registry.resolve", {}),
        2: strata.ask("fs.list", {"path": "."}),
        3: strata.ask("fs.list", {"path": "/etc"}, token=token),
        4: strata.ask("registry.resolve", {"service": "nobody-there"}),
        7: strata.ask("fs.list", {"path": "."}, token=one_call),
        8: strata.ask("supervisor.svc.start", {"name": "fs"}),
    }
    for code, reply in seen.items():
        error = reply["error"]
        assert (reply["v"], reply["ok"], error["code"], error["name"]) == (1, False, code, NAMES[code])
        assert error["message"]
        assert "result" not in reply


def test_013_no_reply_exceeds_one_mebibyte(strata: Node, tmp_path: Path) -> None:
    """A huge directory listing and a 1 MiB read are never sent as one: cut (and so marked), or code 7/1 instead."""
    for number in range(5000):
        (tmp_path / f"{number:04}{'x' * 240}").touch()
    (tmp_path / "big").write_bytes(b"\x01" * LIMIT)
    token = strata.issue(path_prefix=str(tmp_path)).token
    with strata.connect("fs") as connection:  # its reply() asserts the limit
        listing = connection.ask("fs.list", {"path": "."}, token=token)
        assert listing["result"]["truncated"] is True if listing["ok"] else wire.error(listing)[0] in (1, 7)
        handle = wire.result(connection.ask("fs.open", {"path": "big"}, token=token))["handle"]
        piece = connection.ask("fs.read", {"handle": handle, "size": LIMIT}, token=token)
        assert piece["result"]["eof"] is False if piece["ok"] else wire.error(piece)[0] in (1, 7)


@pytest.mark.parametrize("service", SERVICES)
def test_014_fifty_connections_at_once_are_all_served(strata: Node, service: str) -> None:
    """50 concurrent connections each doing registry.list -> all succeed (and so for each of the four sockets)."""
    method = {"registry": "registry.list", "supervisor": "supervisor.status", "identity": "identity.keys"}.get(service)
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(strata.connect(service)) for _ in range(50)]
        for number, connection in enumerate(connections):
            connection.send(wire.request(method or "fs.list", {"path": "."}, req_id=f"c{number}"))
        for number, connection in reversed(list(enumerate(connections))):
            reply = connection.reply()
            assert reply["req_id"] == f"c{number}"
            assert reply["ok"] is True if method else wire.error(reply)[0] == 2
