# SPDX-License-Identifier: MIT
"""A user of the sandbox server: an address, a token, an owner; nothing here comes from Strata's own clients."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.message import Message
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from strata.api.proto import sandbox_pb2 as proto

SECONDS = 20.0
SERVICE = "sandbox"
ACTIONS = ("create", "exec", "run", "files", "shell", "close", "list", "stats")
_ESCAPE = re.compile(r"\x1b(\[[ -?]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[ -/]*[0-Z^-~])")


class Answer(NamedTuple):
    """An HTTP response. Names of headers are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The sentence of a refusal."""
        return str(self.json["error"])


@dataclass(frozen=True)
class Visitor:
    """Speaks to the server at `address` (HOST:PORT) about `session` of `owner`; an empty token is not sent."""

    address: str
    owner: str
    token: str = ""
    session: str = "s"

    # --- HTTP

    def ask(self, verb: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request on a connection of its own; `body` is JSON unless it is bytes; `x_owner_id` is X-Owner-Id."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()} | self.authorization
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self.address, timeout=SECONDS)
        try:
            connection.request(verb, path, data, sent)
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, named, response.read())
        finally:
            connection.close()

    def ok(self, verb: str, path: str, body: Any = None, **headers: str) -> Any:
        """As `ask`; what a 200 says."""
        answer = self.ask(verb, path, body, **headers)
        assert answer.status == 200, answer
        return answer.json

    def refused(self, verb: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
        """As `ask`; status and sentence of an error."""
        answer = self.ask(verb, path, body, **headers)
        assert answer.status >= 400, answer
        return answer.status, answer.error

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    @property
    def ids(self) -> dict[str, str]:
        """As bodies and tools name them."""
        return {"owner_id": self.owner, "session_id": self.session}

    @property
    def id_headers(self) -> dict[str, str]:
        return {"x_owner_id": self.owner, "x_session_id": self.session}

    @property
    def path(self) -> str:
        return f"/api/sessions/{self.owner}/{self.session}"

    def of(self, session: str) -> Visitor:
        """The same user in another session."""
        return replace(self, session=session)

    def create(self, **options: Any) -> Any:
        """Open the session; with options, over our own route: the predecessor's has none."""
        if not options:
            return self.ok("POST", "/api/sessions", self.ids)
        return self.ok("PUT", f"/api/v1/sessions/{self.owner}/{self.session}", options)

    def exec(self, command: str, timeout_ms: int = 0) -> Any:
        """exec(x) of the specification."""
        body = {"command": command} | ({"timeout_ms": timeout_ms} if timeout_ms else {})
        return self.ok("POST", f"{self.path}/exec", body)

    def out(self, command: str) -> str:
        """The output of a command that must succeed."""
        result = self.exec(command)
        assert result["exit_code"] == 0, result
        return str(result["output"])

    def close(self) -> Any:
        return self.ok("DELETE", self.path)

    def active(self) -> int:
        """What GET /api/stats counts."""
        return int(self.ok("GET", "/api/stats")["active_sessions"])

    # --- WebSocket

    @contextlib.contextmanager
    def web(self, path: str = "", **headers: str) -> Iterator[WebShell]:
        """The predecessor's WebSocket shell."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()} | self.authorization
        where = f"ws://{self.address}{path or f'/api/ws/{self.owner}/{self.session}/shell'}"
        with connect(where, additional_headers=sent, open_timeout=SECONDS, close_timeout=5, proxy=None) as client:
            yield WebShell(client)

    def web_end(self, path: str = "", **headers: str) -> int:
        """With what a WebSocket that is refused ends: a status before the upgrade, or one of ours in a close frame."""
        try:
            with self.web(path, **headers) as shell:
                said, code = shell.end()
        except InvalidStatus as refused:
            return refused.response.status_code
        assert said
        assert code is not None
        return code - 4000

    # --- gRPC

    @contextlib.contextmanager
    def grpc(self) -> Iterator[Rpc]:
        """grpcio's client."""
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(self.address, options) as channel:
            yield Rpc(channel, self)


class WebShell:
    """The messages of a WebSocket shell. `shown` is what its output messages hold, put together."""

    def __init__(self, client: ClientConnection) -> None:
        self.client = client
        self.shown = ""

    def send(self, **message: Any) -> None:
        self.client.send(json.dumps(message))

    def type(self, text: str) -> None:
        self.send(type="input", data=text)

    def receive(self) -> dict[str, Any]:
        """The next message."""
        message: dict[str, Any] = json.loads(self.client.recv(SECONDS))
        if message["type"] == "output":
            self.shown += message["data"]
        return message

    def end(self) -> tuple[str, int | None]:
        """Read to its end: the error message before it, and the code of the close frame if there was one."""
        said = ""
        try:
            while True:
                message = self.receive()
                said = message["data"] if message["type"] == "error" else said
        except ConnectionClosed as closed:
            return said, closed.rcvd.code if closed.rcvd else None

    def until(self, pattern: str) -> re.Match[str]:
        """Until what is shown, without escape sequences, matches."""
        while not (found := re.search(pattern, _ESCAPE.sub("", self.shown), re.DOTALL)):
            assert self.receive()["type"] == "output", f"it ended before {pattern!r} was shown: {self.shown!r}"
        return found


class Rpc:
    """The predecessor's service, called with grpcio."""

    def __init__(self, channel: grpc.Channel, visitor: Visitor) -> None:
        self._channel, self._visitor = channel, visitor
        token = visitor.token
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()

    def create(self, **ids: str) -> Any:
        return self._one("CreateSession", proto.CreateSessionRequest(**self._ids(ids)), proto.CreateSessionResponse)

    def close(self, **ids: str) -> Any:
        return self._one("CloseSession", proto.CloseSessionRequest(**self._ids(ids)), proto.CloseSessionResponse)

    def exec(self, command: str, timeout_ms: int = 0, **ids: str) -> Any:
        request = proto.ExecRequest(**self._ids(ids), command=command, timeoutMs=timeout_ms)
        return self._one("Exec", request, proto.ExecResponse)

    def stats(self) -> Any:
        return self._one("Stats", proto.StatsRequest(), proto.StatsResponse)

    def shell(self, messages: Iterator[Any]) -> Any:
        """The stream of what the shell shows."""
        call = self._channel.stream_stream(
            "/sandbox.SandboxService/Shell",
            request_serializer=proto.ShellInput.SerializeToString,
            response_deserializer=proto.ShellOutput.FromString,
        )
        return call(messages, timeout=SECONDS, metadata=self._metadata)

    def _ids(self, given: Mapping[str, str]) -> dict[str, str]:
        return {"ownerID": self._visitor.owner, "sessionID": self._visitor.session} | dict(given)

    def _one(self, name: str, request: Message, reply: type[Message]) -> Any:
        call = self._channel.unary_unary(
            f"/sandbox.SandboxService/{name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=reply.FromString,
        )
        return call(request, timeout=SECONDS, metadata=self._metadata)


def status(call: Callable[[], Any]) -> tuple[Any, str]:
    """Code and details of the error with which a gRPC call ends."""
    with pytest.raises(grpc.RpcError) as raised:
        call()
    error = raised.value
    return error.code(), str(error.details())


def command_lines(owner: str, session: str) -> list[str]:
    """Of all processes that are in a session, as the whole machine sees them."""
    scope = f"strata-sandbox-{owner}-{session}.scope"
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if scope in (entry / "cgroup").read_text():
                    found.append((entry / "cmdline").read_text().replace("\0", " ").strip())
    return found


def hang_up(address: str, data: bytes, when: Callable[[], Any]) -> None:
    """Send bytes, wait until `when` has returned, and close without having read anything."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), SECONDS) as sock:
        sock.sendall(data)
        when()
