# SPDX-License-Identifier: MIT
"""The parts of the api door that need no connection: routes, guard, ranges, credentials, the error table, OpenAPI."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from strata.api import answering, bodies, credentials, guard, openapi, predecessor, ranges, statuses, table
from strata.api.routing import WEBSOCKET, Route, Router
from strata.errors import ERRORS, Conflict, InvalidArgument, PermissionDenied, StrataError, Unauthenticated
from strata.sandbox import handlers, ids

ROUTER = Router(table.ROUTES)
ROOM = {method.name: method for method in handlers.METHODS}


def place(verb: str, path: bytes) -> tuple[str, dict[str, str]] | None:
    found = ROUTER.find(verb, path)
    return (found.route.path, dict(found.path)) if found and found.route else None


# --- routes


@pytest.mark.parametrize(
    ("verb", "path", "expected"),
    [
        ("POST", b"/api/sessions/exec", ("/api/sessions/exec", {})),
        ("POST", b"/api/sessions/u/s/exec", ("/api/sessions/{owner}/{session}/exec", {"owner": "u", "session": "s"})),
        ("DELETE", b"/api/sessions/a%2Fb/s", ("/api/sessions/{owner}/{session}", {"owner": "a/b", "session": "s"})),
        ("DELETE", b"/api/sessions/../x", ("/api/sessions/{owner}/{session}", {"owner": "..", "session": "x"})),
        ("DELETE", b"/api/sessions//x", ("/api/sessions/{owner}/{session}", {"owner": "", "session": "x"})),
        (
            "GET",
            b"/api/v1/sessions/%7B%7D/%2f",
            ("/api/v1/sessions/{owner}/{session}", {"owner": "{}", "session": "/"}),
        ),
        (WEBSOCKET, b"/api/ws/shell", ("/api/ws/shell", {})),
        ("GET", b"/api/stats/", None),
        ("GET", b"//api/stats", None),
        ("GET", b"/api/sessions", None),
        ("GET", b"/", None),
    ],
)
def test_a_path_is_read_as_it_was_sent(verb: str, path: bytes, expected: Any) -> None:
    """Segments are decoded after they were split, and nothing is cleaned up or redirected."""
    assert place(verb, path) == expected


def test_a_path_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="not UTF-8"):
        ROUTER.find("GET", b"/api/v1/sessions/%ff/x")


def test_the_verbs_of_a_path_are_told() -> None:
    found = ROUTER.find("PATCH", b"/api/v1/sessions/u/s")
    assert found
    assert (found.route, found.verbs) == (None, ("DELETE", "GET", "PUT"))


@pytest.mark.parametrize("route", [route for route in table.ROUTES if route.method], ids=lambda route: route.path)
def test_every_route_leads_to_a_method_of_the_room_and_sends_what_it_knows(route: Route) -> None:
    """What is written in a path, a body or a query is a parameter of the method; or it would be ignored in silence."""
    method = ROOM[route.method]
    known = {field.encode_name for field in msgspec.structs.fields(method.params)}
    sent = set(re.findall(r"\{(\w+)\}", route.path))
    for kind in (route.body, route.query):
        if kind and not kind.__module__.endswith("predecessor"):
            sent |= {field.encode_name for field in msgspec.structs.fields(kind)}
    assert sent - ELSEWHERE.get((route.verb, route.path.rpartition("/")[2]), set()) <= known


# Read by the handler, which sends something else for them.
ELSEWHERE = {("GET", "sessions"): {"label"}, ("GET", "output"): {"stdout", "stderr"}}


def test_every_method_of_the_room_has_a_route() -> None:
    spelt_twice = {"sandbox.list_files"}
    assert {route.method for route in table.ROUTES} >= ROOM.keys() - spelt_twice


def test_no_two_routes_are_the_same() -> None:
    places = [(route.verb, re.sub(r"\{\w+\}", "{}", route.path)) for route in table.ROUTES]
    assert len(places) == len(set(places))


# --- errors


def test_every_error_has_its_row() -> None:
    """Vector 123, 124: 400, 401, 403, 404, 500, 503, 429, 409 by code."""
    assert [statuses.TABLE[kind].http for kind in ERRORS] == [400, 401, 403, 404, 500, 503, 429, 409]
    assert [statuses.TABLE[kind].grpc for kind in ERRORS] == [3, 16, 7, 5, 13, 14, 8, 9]


def test_a_special_error_has_the_row_of_its_kind() -> None:
    class Stale(Conflict):
        pass

    assert statuses.of(Stale("x")) == statuses.TABLE[Conflict]
    assert statuses.of(StrataError("x")).http == 500


def test_an_error_says_what_the_predecessor_said_and_what_a_program_wants() -> None:
    assert answering.error_body(Conflict("no", limit=3)) == {
        "error": "no",
        "code": 8,
        "name": "CONFLICT",
        "details": {"limit": 3},
    }


# --- credentials


@pytest.mark.parametrize("value", ["Bearer v2.public.abc", "bearer v2.public.abc", "  Bearer   v2.public.abc "])
def test_a_token_is_read_from_its_header(value: str) -> None:
    assert credentials.bearer([value]) == "v2.public.abc"


@pytest.mark.parametrize(
    "values",
    [
        ["Basic dTpw"],
        ["Bearer"],
        ["Bearer tok-1 tok-2"],
        ["Bearer tok-1", "Bearer tok-2"],
        ["Bearer é"],
        ["Bearer " + "x" * 20_000],
    ],
)
def test_credentials_that_cannot_be_read_are_refused_and_not_repeated(values: list[str]) -> None:
    with pytest.raises(Unauthenticated, match="cannot read the credentials") as caught:
        credentials.bearer(values, required=False)
    assert not any(value.partition(" ")[2] in caught.value.message for value in values if " " in value)


def test_no_credentials_are_refused_unless_none_are_needed() -> None:
    """Vector 123."""
    with pytest.raises(Unauthenticated, match="token required"):
        credentials.bearer([])
    assert credentials.bearer([], required=False) == ""


def test_a_browser_offers_its_token_as_a_subprotocol() -> None:
    assert credentials.offered(["strata", "bearer.v2.public.abc"]) == "v2.public.abc"
    assert credentials.offered(["strata"]) == ""
    with pytest.raises(Unauthenticated):
        credentials.offered(["bearer.a", "bearer.b"])


# --- pages of others


def scope(host: str, origin: str = "", server: str = "127.0.0.1") -> dict[str, Any]:
    headers = [(b"host", host.encode())] + ([(b"origin", origin.encode())] if origin else [])
    return {"headers": headers, "server": (server, 2280)}


@pytest.mark.parametrize("host", ["127.0.0.1:2280", "localhost:2280", "[::1]:2280", "a.localhost", "10.1.2.3", ""])
def test_a_host_that_cannot_be_rebound_is_taken_on_loopback(host: str) -> None:
    assert guard.check(scope(host), ()) == ""


@pytest.mark.parametrize("host", ["evil.example:2280", "127.0.0.1.evil.example", "localhost.evil.example", "[x", "@"])
def test_a_name_that_points_here_by_rebinding_is_refused(host: str) -> None:
    with pytest.raises(PermissionDenied, match="localhost"):
        guard.check(scope(host), ())


def test_any_name_is_taken_where_the_port_is_open_to_all() -> None:
    """There a token is needed, which no page of a stranger has."""
    assert guard.check(scope("sandbox.example", server="10.0.0.1"), ()) == ""


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "http://localhost:3000", "null", "http://127.0.0.1", "file://", "http://127.0.0.1:x"],
)
def test_a_page_of_another_origin_is_refused(origin: str) -> None:
    """Vector 130."""
    with pytest.raises(PermissionDenied, match="web page"):
        guard.check(scope("127.0.0.1:2280", origin), ())


def test_a_page_of_this_very_origin_or_an_allowed_one_is_served() -> None:
    assert guard.check(scope("127.0.0.1:2280", "http://127.0.0.1:2280"), ()) == ""
    assert guard.check(scope("127.0.0.1:2280", "https://a.example"), {"https://a.example"}) == "https://a.example"


def test_two_hosts_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="two host headers"):
        guard.seen([(b"host", b"a"), (b"host", b"b")])


# --- parts of files


@pytest.mark.parametrize(
    ("header", "start", "length"),
    [
        ("", 0, 100),
        ("bytes=0-9", 0, 10),
        ("bytes=90-", 90, 10),
        ("bytes=-5", 95, 5),
        ("bytes=-500", 0, 100),
        ("bytes=0-999", 0, 100),
        ("bytes=5-2", 0, 100),
        ("bytes=0-1,5-6", 0, 100),
        ("bytes=-", 0, 100),
        ("lines=1-2", 0, 100),
    ],
)
def test_a_range_names_a_part(header: str, start: int, length: int) -> None:
    assert ranges.part(header, 100)[:2] == (start, length)


@pytest.mark.parametrize(("header", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-0", 0)])
def test_a_range_that_the_file_does_not_have_is_refused(header: str, size: int) -> None:
    with pytest.raises(ranges.Unsatisfiable) as caught:
        ranges.part(header, size)
    assert caught.value.headers == (("content-range", f"bytes */{size}"),)


# --- the description


def test_the_description_names_every_route_once() -> None:
    described = openapi.document(table.ROUTES)
    operations = {(verb, path) for path, verbs in described["paths"].items() for verb in verbs}
    assert operations == {
        ("get" if route.verb == WEBSOCKET else route.verb.lower(), route.path) for route in table.ROUTES
    }


def test_every_reference_of_the_description_is_in_it() -> None:
    text = msgspec.json.encode(openapi.document(table.ROUTES)).decode()
    schemas = msgspec.json.decode(text)["components"]["schemas"]
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', text)) <= schemas.keys()


def test_ids_are_described_as_the_room_takes_them() -> None:
    assert ids._ID.pattern == openapi.ID
    described = openapi.document(table.ROUTES)["paths"]["/api/v1/sessions/{owner}/{session}/runs/{id}/kill"]["post"]
    kinds = {each["name"]: each["schema"] for each in described["parameters"]}
    assert kinds["owner"] == kinds["session"] == {"type": "string", "pattern": f"^{openapi.ID}$"}
    assert kinds["id"] == {"type": "string"}


def test_every_answer_that_a_file_may_get_is_described() -> None:
    file = openapi.document(table.ROUTES)["paths"]["/api/v1/sessions/{owner}/{session}/files"]
    assert {"200", "206", "404", "416"} <= set(file["get"]["responses"])
    run = openapi.document(table.ROUTES)["paths"]["/api/v1/sessions/{owner}/{session}/run"]["post"]
    assert "413" in run["responses"]


def test_what_a_query_needs_is_described_as_needed() -> None:
    described = openapi.document(table.ROUTES)["paths"]["/api/v1/sessions/{owner}/{session}/runs/{id}/output"]["get"]
    names = {parameter["name"]: parameter["required"] for parameter in described["parameters"]}
    assert names == {"owner": True, "session": True, "id": True, "stdout": False, "stderr": False, "follow": False}


def test_fields_that_are_left_out_are_not_sent() -> None:
    """The room knows the defaults."""
    assert msgspec.to_builtins(bodies.Create(ttl="5m")) == {"ttl": "5m"}
    assert msgspec.structs.fields(predecessor.OldExec)[1].default == 0
