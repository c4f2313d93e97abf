# SPDX-License-Identifier: MIT
"""The door over HTTP, with real clients and rude ones, before a scripted room. Vectors by their numbers where they are
about the door; what needs a real sandbox is tested live."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from http_client import ask
from rpc_door import Opened, Settings, opened

PWD = b'{"command":"pwd"}'


@pytest.fixture
def door() -> Iterator[Opened]:
    with opened() as found:
        yield found


# --- the predecessor's routes


def test_113_stats_are_counts(door: Opened) -> None:
    found = ask(door, "GET", "/api/stats")
    assert (found.status, found.json["active_sessions"]) == (200, 2)
    assert found.headers["content-type"] == "application/json"


@pytest.mark.parametrize("body", [{"owner_id": "u", "session_id": "s"}, {"user_id": "u", "session_id": "s"}])
def test_114_115_a_session_is_created_once(door: Opened, body: dict[str, str]) -> None:
    first, second = (ask(door, "POST", "/api/sessions", json.dumps(body)) for _ in range(2))
    assert first.status == second.status == 200
    assert (first.json["owner_id"], first.json["session_id"]) == ("u", "s")
    assert first.json["created_at"] == second.json["created_at"] == "2026-11-22T03:11:00Z"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("{}", "owner_id and session_id are required"),
        ('{"owner_id":"u"}', "owner_id and session_id are required"),
        ("null", "owner_id and session_id are required"),
        ("", "invalid request body"),
        ("{", "invalid request body"),
        ("[]", "invalid request body"),
        ('{"owner_id":5}', "invalid request body"),
        (b'{"owner_id":"\xff"}', "invalid request body"),
        ("[" * 5000, "invalid request body"),
    ],
)
def test_116_what_names_no_session_is_refused(door: Opened, body: str | bytes, sentence: str) -> None:
    found = ask(door, "POST", "/api/sessions", body)
    assert (found.status, found.json["error"]) == (400, sentence)


def test_117_headers_may_name_the_session(door: Opened) -> None:
    found = ask(door, "POST", "/api/sessions", "{}", X_Owner_Id="u", X_Session_Id="s")
    assert (found.status, found.json["owner_id"]) == (200, "u")


def test_118_a_session_is_closed_once(door: Opened) -> None:
    ask(door, "POST", "/api/sessions", '{"owner_id":"gone","session_id":"s"}')
    assert ask(door, "DELETE", "/api/sessions/gone/s").json == {"status": "closed"}
    again = ask(door, "DELETE", "/api/sessions/gone/s")
    assert (again.status, again.json["error"]) == (404, "session not found")


def test_119_unknown_paths_and_verbs(door: Opened) -> None:
    unknown = ask(door, "GET", "/api/nothing")
    assert (unknown.status, unknown.body) == (404, b"404 page not found\n")
    assert unknown.headers["content-type"].startswith("text/plain")
    wrong = ask(door, "GET", "/api/sessions")
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST, OPTIONS")


@pytest.mark.parametrize("path", ["/api/stats/", "//api/stats", "/api/./stats", "/api/x/../stats"])
def test_a_path_is_never_cleaned_up_or_redirected(door: Opened, path: str) -> None:
    assert ask(door, "GET", path).status == 404


def test_123_who_is_nobody_is_refused(door: Opened) -> None:
    for token, sentence in (("", "token required"), ("bad", "invalid token")):
        found = ask(door, "GET", "/api/stats", token=token)
        assert found.status == 401
        assert sentence in found.json["error"]
        assert found.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["/api/sessions/a/b/exec", "/api/v1/sessions/a/b/exec", "/api/v1/sessions"])
def test_who_is_nobody_is_refused_before_anything_is_asked_of_the_room(path: str) -> None:
    with opened() as door:
        assert ask(door, "POST", path, "{}", token="").status == 401
        assert door.room.asked == []


def test_123_a_header_that_differs_from_the_path_is_refused(door: Opened) -> None:
    """The predecessor let the header win, and so redirect a request to another owner."""
    found = ask(door, "POST", "/api/sessions/alice/x/exec", PWD, X_Owner_Id="bob")
    assert (found.status, found.json["code"]) == (400, 1)
    assert ask(door, "POST", "/api/sessions/alice/x/exec", PWD, X_Owner_Id="alice").status == 200


def test_124_too_many_sessions_is_429(door: Opened) -> None:
    found = ask(door, "POST", "/api/sessions", '{"owner_id":"full","session_id":"s"}')
    assert (found.status, found.json["error"], found.headers["retry-after"]) == (429, "max sessions (3) reached", "1")


def test_131_exec_answers_what_the_predecessor_did_and_more(door: Opened) -> None:
    found = ask(door, "POST", "/api/sessions/a/b/exec", PWD).json
    assert (found["output"], found["elapsed"], found["exit_code"], found["ended"]) == ("/root", "12ms", 0, "exit")
    assert "truncated" not in found


def test_133_headers_may_name_the_session_of_an_exec(door: Opened) -> None:
    assert ask(door, "POST", "/api/sessions/exec", PWD, X_Owner_Id="a", X_Session_Id="b").json["output"] == "/root"
    found = ask(door, "POST", "/api/sessions/exec", PWD)
    assert (found.status, found.json["error"]) == (400, "owner_id and session_id are required")


@pytest.mark.parametrize("path", ["/api/sessions/a/b/exec", "/api/v1/sessions/a/b/exec"])
@pytest.mark.parametrize("body", ['{"command":""}', "{}"])
def test_134_a_command_is_required(door: Opened, path: str, body: str) -> None:
    found = ask(door, "POST", path, body)
    assert (found.status, found.json["error"]) == (400, "command is required")


@pytest.mark.parametrize("timeout", ['"5"', "1.5", "true", "1e400", "9223372036854775808"])
def test_134_a_timeout_is_a_whole_number(door: Opened, timeout: str) -> None:
    found = ask(door, "POST", "/api/sessions/a/b/exec", f'{{"command":"pwd","timeout_ms":{timeout}}}')
    assert (found.status, found.json["error"]) == (400, "invalid request body")


def test_134_a_timeout_below_nothing_is_the_usual_one() -> None:
    with opened() as door:
        assert ask(door, "POST", "/api/sessions/a/b/exec", '{"command":"pwd","timeout_ms":-1}').status == 200
        assert "timeout_ms" not in door.room.last("sandbox.exec")


def test_138_139_140_how_a_command_ended_is_no_error_of_http(door: Opened) -> None:
    failed = ask(door, "POST", "/api/sessions/a/b/exec", '{"command":"exit 3"}')
    assert (failed.status, failed.json["exit_code"]) == (200, 3)
    late = ask(door, "POST", "/api/sessions/a/b/exec", '{"command":"sleep 10","timeout_ms":1000}')
    assert (late.status, late.json["error"], late.json["elapsed"]) == (200, "command timeout", "1.001s")


def test_146_output_that_was_cut_says_so(door: Opened) -> None:
    assert ask(door, "POST", "/api/sessions/a/b/exec", '{"command":"long"}').json["truncated"] is True


def test_head_is_a_get_without_a_body(door: Opened) -> None:
    got, headed = ask(door, "GET", "/api/stats"), ask(door, "HEAD", "/api/stats")
    assert (headed.status, headed.body) == (200, b"")
    assert headed.headers["content-length"] == got.headers["content-length"]


def test_a_body_needs_no_content_type(door: Opened) -> None:
    """curl -d says it were a form."""
    form = "application/x-www-form-urlencoded"
    assert ask(door, "POST", "/api/sessions/a/b/exec", PWD, Content_Type=form).status == 200


# --- ours


def test_what_v1_does_not_know_is_refused(door: Opened) -> None:
    """Nothing is reduced in silence."""
    found = ask(door, "POST", "/api/v1/sessions/a/b/exec", '{"command":"pwd","timeout":5}')
    assert (found.status, "unknown field `timeout`" in found.json["error"]) == (400, True)
    found = ask(door, "GET", "/api/v1/sessions?limit=5")
    assert (found.status, "unknown field `limit`" in found.json["error"]) == (400, True)


def test_a_body_cannot_redirect_what_the_path_says() -> None:
    with opened() as door:
        found = ask(door, "POST", "/api/v1/sessions/a/b/exec", '{"command":"pwd","owner":"eve"}')
        assert (found.status, door.room.asked) == (400, [])


def test_sessions_are_found_by_label() -> None:
    with opened() as door:
        assert ask(door, "GET", "/api/v1/sessions?label=a%3D1&label=b%3D2&owner=u").status == 200
        assert door.room.last("sandbox.list") == {"owner": "u", "labels": {"a": "1", "b": "2"}}
        assert ask(door, "GET", "/api/v1/sessions?label=a").status == 400
        assert ask(door, "GET", "/api/v1/sessions?owner=a&owner=b").status == 400


def test_a_refusal_of_the_room_keeps_its_words(door: Opened) -> None:
    found = ask(door, "POST", "/api/v1/sessions/a/b/exec", '{"command":"conflict"}')
    assert (found.status, found.json["name"]) == (409, "CONFLICT")
    assert found.json["error"] == "cannot run: the session is frozen; thaw it"


def test_the_description_is_for_everybody(door: Opened) -> None:
    found = ask(door, "GET", "/api/openapi.json", token="")
    assert (found.status, found.json["openapi"]) == (200, "3.1.0")


def test_the_token_is_handed_on_and_written_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    with opened() as door, caplog.at_level(logging.DEBUG):
        assert ask(door, "GET", "/api/stats", token="good-secret").status == 200
        ask(door, "GET", "/api/stats", token="bad-secret")
        assert door.room.asked[0][2] == "good-secret"
    assert "secret" not in caplog.text


def test_insecure_lets_everybody_in() -> None:
    """The room decides; the door only stops asking."""
    with opened(Settings(insecure_no_auth=True)) as door:
        ask(door, "GET", "/api/stats", token="")
        assert door.room.denied == [("sandbox.stats", "")]


# --- pages of others


def test_130_a_page_of_another_origin_is_refused_everywhere(door: Opened) -> None:
    for verb, path in (
        ("POST", "/api/sessions/a/b/exec"),
        ("GET", "/api/stats"),
        ("POST", "/mcp/"),
        ("OPTIONS", "/api/stats"),
    ):
        assert ask(door, verb, path, PWD, Origin="http://evil.example").status == 403


def test_a_rebound_name_is_refused(door: Opened) -> None:
    assert ask(door, "GET", "/api/stats", Host="evil.example:2280").status == 403
    assert ask(door, "GET", "/mcp/", Host="evil.example").status == 403


def test_an_allowed_page_may_read_the_answer() -> None:
    with opened(Settings(allowed_origins=("https://a.example",))) as door:
        found = ask(door, "GET", "/api/stats", Origin="https://a.example")
        assert (found.status, found.headers["access-control-allow-origin"]) == (200, "https://a.example")
        asked = ask(door, "OPTIONS", "/api/v1/sessions/a/b", token="", Origin="https://a.example")
        assert asked.status == 204
        assert "PUT" in asked.headers["access-control-allow-methods"]
        assert "authorization" in asked.headers["access-control-allow-headers"]


def test_mcp_without_its_slash_is_moved(door: Opened) -> None:
    found = ask(door, "POST", "/mcp")
    assert (found.status, found.headers["location"]) == (301, "/mcp/")
