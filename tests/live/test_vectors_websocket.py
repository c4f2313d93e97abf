# SPDX-License-Identifier: MIT
"""Vectors 164 to 167: the predecessor's shell over a WebSocket, with the terminal of a running Strata behind it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from visitor import Visitor
from websockets.exceptions import InvalidStatus

PROMPT = r"[#$] $"


@pytest.mark.parametrize("way", ["path", "headers"])
def test_164_what_is_typed_is_answered(user: Visitor, way: str) -> None:
    """ws shell: input "echo WSTEST_MARKER\\n" -> output messages whose concatenation contains WSTEST_MARKER; path and
    header-only routes."""
    where, headers = ("", {}) if way == "path" else ("/api/ws/shell", user.id_headers)
    with user.web(where, **headers) as shell:
        shell.type("echo WSTEST_''MARKER\n")
        shell.until("WSTEST_MARKER")
    assert user.active() >= 1
    assert user.out("echo the same session") == "the same session"


def test_165_the_window(user: Visitor) -> None:
    """Resize 40x120 then "stty size" -> "40 120"."""
    with user.web() as shell:
        shell.send(type="resize", rows=40, cols=120)
        shell.type("stty size\n")
        shell.until("40 120")


@pytest.mark.parametrize(
    "junk",
    [
        "no json",
        "[]",
        "null",
        "{}",
        '{"type":"nothing"}',
        '{"type":5}',
        '{"type":"input","data":5}',
        '{"type":"resize"}',
        '{"type":"resize","rows":0,"cols":0}',
        '{"type":"resize","rows":-1,"cols":80}',
        '{"type":"resize","rows":65536,"cols":80}',
        '{"type":"resize","rows":1e99,"cols":80}',
        '{"type":"resize","rows":"40","cols":120}',
        b"\xff\xfe",
        b"",
        "[" * 50_000,
    ],
)
def test_165_junk_is_ignored(user: Visitor, junk: str | bytes) -> None:
    """Junk/unknown/out-of-range messages ignored: the window is as it was, and the shell goes on."""
    with user.web() as shell:
        shell.send(type="resize", rows=33, cols=111)
        shell.client.send(junk)
        shell.type("stty size; echo go''ing on\n")
        shell.until("33 111.*going on")


def test_165_binary_messages_are_messages(user: Visitor) -> None:
    """Binary frames treated alike (spec 2.6)."""
    with user.web() as shell:
        shell.client.send(json.dumps({"type": "input", "data": "echo bin''ary\n"}).encode())
        shell.until("binary")


@pytest.mark.parametrize("headers", [{}, {"x_owner_id": "u"}, {"x_session_id": "s"}])
def test_166_without_ids(user: Visitor, headers: dict[str, str]) -> None:
    """Missing ids -> 400 before upgrade."""
    with pytest.raises(InvalidStatus) as refused, user.web("/api/ws/shell", **headers):
        pass
    assert refused.value.response.status_code == 400
    assert b"owner_id and session_id are required" in refused.value.response.body


def test_166_two_owners_in_one_request(user: Visitor) -> None:
    """Ids that differ are refused before the upgrade (spec 2.3)."""
    with pytest.raises(InvalidStatus) as refused, user.web(x_owner_id="somebody-else"):
        pass
    assert refused.value.response.status_code == 400


def test_166_not_an_upgrade(user: Visitor) -> None:
    """A plain GET of the route is 400 (spec 2.4)."""
    assert user.ask("GET", f"/api/ws/{user.owner}/s/shell").status == 400


@pytest.mark.parametrize("how", ["exit", "exit 3", "kill -9 $$"])
def test_166_the_end_of_the_shell(user: Visitor, how: str) -> None:
    """Shell `exit` -> {"type":"error","data":"session closed"} then close, with a proper close frame; the session is
    there and the next one gets a new shell."""
    user.out("echo kept > /root/file")
    with user.web() as shell:
        shell.type(f"{how}\n")
        assert shell.end() == ("session closed", 1000)
    with user.web() as shell:
        shell.type("cat /root/file\n")
        shell.until("kept")


def test_166_the_end_of_the_session(user: Visitor) -> None:
    """DELETE ends its shells in the same way."""
    with user.web() as shell:
        shell.type("echo on\n")
        shell.until("[\r\n]on\r")
        user.close()
        said, code = shell.end()
    assert said == "session closed"
    assert code is not None


def test_167_a_prompt_and_what_goes_to_stderr(user: Visitor) -> None:
    """Prompt and stderr visible in the ws shell, which is interactive."""
    with user.web() as shell:
        shell.until(PROMPT)
        shell.type("echo o''ops >&2; [[ $- == *i* ]] && echo inter''active; tty\n")
        shell.until(r"oops.*interactive.*/dev/pts/\d+")
        shell.type("nosuch''program\n")
        shell.until("nosuchprogram: command not found")


def test_167_characters_are_whole(user: Visitor) -> None:
    """Multibyte characters never split: none of a flood of them is torn, however the messages cut it."""
    character, count = "日", 30_000
    with user.web() as shell:
        shell.until(PROMPT)
        shell.type(f"for i in {{1..{count}}}; do printf 日; done; echo; echo o''ver\n")
        shell.until("over")
    assert "\ufffd" not in shell.shown
    assert shell.shown.count(character) == count + shell.shown.split("over")[0].count("printf 日")


def test_167_a_character_that_comes_in_pieces(user: Visitor) -> None:
    """The bytes of one character that are written one by one are shown as one, in one message."""
    with user.web() as shell:
        shell.until(PROMPT)
        shell.type(r"for b in \\360 \\237 \\246 \\212; do printf $b; sleep 0.05; done; echo; echo o''ver" + "\n")
        shell.until("🦊.*over")
    assert "\ufffd" not in shell.shown


def test_167_two_see_the_same(user: Visitor) -> None:
    """Two ws clients both see output, whoever types."""
    with user.web() as one, user.web() as two:
        one.type("echo from''one\n")
        for shell in (one, two):
            shell.until("fromone")
        two.type("echo from''two\n")
        for shell in (one, two):
            shell.until("fromtwo")


def test_167_who_comes_back_sees_what_was_shown(user: Visitor) -> None:
    """Leaving ends nothing: the terminal is there with what it showed meanwhile."""
    with user.web() as shell:
        shell.type("echo ear''lier; place=kept\n")
        shell.until("earlier")
    with user.web() as shell:
        shell.until("earlier")
        shell.type("echo $place''here\n")
        shell.until("kepthere")


def test_167_another_owner_cannot_look(user: Visitor) -> None:
    """The terminal is the owner's alone: without the token it is refused before the upgrade."""
    with user.web() as shell:
        shell.type("echo sec''ret\n")
        shell.until("secret")
        with pytest.raises(InvalidStatus) as refused, replace(user, token="").web():
            pass
        assert refused.value.response.status_code == 401


def test_167_a_client_that_breaks_the_protocol(user: Visitor) -> None:
    """A message without end is refused with a close frame; others are not concerned."""
    with user.web() as good, user.web() as bad:
        bad.client.send("x" * 2_000_000)
        assert bad.end()[1] == 1009
        good.type("echo go''ing on\n")
        good.until("going on")
