# SPDX-License-Identifier: MIT
"""Vectors 168 to 172: the predecessor's gRPC service of a running Strata, called with grpcio."""

from __future__ import annotations

import queue
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import grpc
import pytest
import served as serving
import visitor
from served import Served
from visitor import Visitor

from strata.api.proto import sandbox_pb2 as proto

Code = grpc.StatusCode


class Typist:
    """What is sent in a Shell call, and the concatenation of what it answers."""

    def __init__(self, who: Visitor, first: Any = None) -> None:
        self._sent: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._sent.put(first or proto.ShellInput(ownerID=who.owner, sessionID=who.session))
        self.shown = b""
        self.last: Any = None

    def messages(self) -> Iterator[Any]:
        return iter(self._sent.get, None)

    def type(self, text: str) -> None:
        self._sent.put(proto.ShellInput(stdinData=text.encode()))

    def resize(self, rows: int, cols: int) -> None:
        self._sent.put(proto.ShellInput(resize=proto.Resize(rows=rows, cols=cols)))

    def leave(self) -> None:
        self._sent.put(None)

    def until(self, replies: Any, pattern: bytes) -> None:
        """Read until it is shown."""
        while not re.search(pattern, self.shown, re.DOTALL):
            self.last = next(replies)
            self.shown += self.last.data


def test_168_the_happy_path(user: Visitor) -> None:
    """gRPC CreateSession/Exec/Stats/CloseSession happy path; CloseSession twice -> success false with status OK."""
    with user.grpc() as rpc:
        made = rpc.create()
        assert (made.ownerID, made.sessionID) == (user.owner, "s")
        assert datetime.fromisoformat(made.createdAt).tzinfo
        assert rpc.create().createdAt == made.createdAt
        assert rpc.exec("echo hello; cd /tmp").output == "hello"
        assert rpc.exec("pwd").output == "/tmp"
        assert rpc.stats().activeSessions >= 1
        assert rpc.close().success is True
        assert rpc.close().success is False


@pytest.mark.parametrize("ids", [("", ""), ("", "s"), ("u", "")])
def test_169_empty_ids(user: Visitor, ids: tuple[str, str]) -> None:
    """Empty ids -> INVALID_ARGUMENT, whoever asks."""
    named = {"ownerID": ids[0], "sessionID": ids[1]}
    with user.grpc() as rpc:
        for call in (rpc.create, rpc.close, lambda **ids: rpc.exec("true", **ids)):
            assert visitor.status(lambda call=call: call(**named))[0] is Code.INVALID_ARGUMENT


def test_169_one_more_than_there_may_be(served: Served) -> None:
    """Max -> RESOURCE_EXHAUSTED; Stats.maxSessions == configured."""
    with served.visitor().grpc() as rpc:
        for number in range(serving.MOST):
            rpc.create(sessionID=f"s{number}")
        for call in (rpc.create, lambda **ids: rpc.exec("true", **ids)):
            code, says = visitor.status(lambda call=call: call(sessionID="more"))
            assert (code, f"max sessions ({serving.MOST}) reached" in says) == (Code.RESOURCE_EXHAUSTED, True)
        stats = rpc.stats()
        assert (stats.activeSessions, stats.maxSessions) == (serving.MOST, serving.MOST)


def test_169_an_empty_command(user: Visitor) -> None:
    """Exec empty command -> INVALID_ARGUMENT."""
    with user.grpc() as rpc:
        assert visitor.status(lambda: rpc.exec("")) == (Code.INVALID_ARGUMENT, "command is required")


def test_169_all_fields_are_filled(user: Visitor) -> None:
    """Exec fills elapsed/truncated, and says how it ended when it was no success."""
    with user.grpc() as rpc:
        done = rpc.exec("echo hi; echo e >&2")
        assert (done.output, done.truncated, done.error) == ("hi\ne", False, "")
        assert re.fullmatch(r"\d+(\.\d+)?(ms|s)", done.elapsed)
        cut = rpc.exec("head -c 1500000 /dev/zero | tr '\\0' a")
        assert (len(cut.output), cut.truncated) == (1_048_576, True)
        late = rpc.exec("echo begun; sleep 10", 300)
        assert (late.output, late.error) == ("begun", "command timeout")
        assert "3" in rpc.exec("exit 3").error


def test_169_who_may(user: Visitor) -> None:
    """No credentials -> UNAUTHENTICATED; another owner's session -> PERMISSION_DENIED."""
    with replace(user, token="").grpc() as rpc:
        for call in (rpc.create, rpc.close, rpc.stats, lambda: rpc.exec("true")):
            assert visitor.status(call)[0] is Code.UNAUTHENTICATED
    with user.grpc() as rpc:
        assert visitor.status(lambda: rpc.exec("true", ownerID="bob"))[0] is Code.PERMISSION_DENIED


@pytest.mark.parametrize("ids", [{}, {"ownerID": "u"}, {"sessionID": "s"}])
def test_170_a_shell_without_ids(user: Visitor, ids: dict[str, str]) -> None:
    """Shell first message lacking ids -> non-OK `owner_id and session_id required in first message`."""
    with user.grpc() as rpc:
        first = proto.ShellInput(stdinData=b"echo hi\n", **ids)
        code, says = visitor.status(lambda: list(rpc.shell(iter([first]))))
    assert (code, says) == (Code.INVALID_ARGUMENT, "owner_id and session_id required in first message")


def test_171_a_shell(user: Visitor) -> None:
    """Shell "echo hi\\n" -> data contains hi; FIX shell exit -> closed:true and stream ends."""
    with user.grpc() as rpc:
        typist = Typist(user)
        replies = rpc.shell(typist.messages())
        typist.resize(40, 120)
        typist.type("echo h''i; stty size\n")
        typist.until(replies, b"hi\r.*40 120")
        typist.type("exit\n")
        rest = list(replies)
        typist.leave()
    assert rest[-1].closed is True
    assert replies.code() is Code.OK


def test_171_what_is_typed_before_the_client_leaves_is_answered(user: Visitor) -> None:
    """A client that sends all it has and half-closes gets its answer; the shell goes on."""
    messages = [proto.ShellInput(ownerID=user.owner, sessionID="s"), proto.ShellInput(stdinData=b"x=kept; echo h''i\n")]
    with user.grpc() as rpc:
        assert b"hi\r" in b"".join(reply.data for reply in rpc.shell(iter(messages)))
    with user.web() as shell:
        shell.type("echo $x''here\n")
        shell.until("kepthere")


def test_172_one_port(user: Visitor) -> None:
    """HTTP/1 and gRPC both work on the same port, at the same time."""
    with user.grpc() as rpc, user.web() as shell:
        assert rpc.exec("x=shared; echo $x").output == "shared"
        assert user.out("echo $x") == "shared"
        shell.type("echo w''eb\n")
        shell.until("web")
        assert rpc.stats().activeSessions == user.active()
