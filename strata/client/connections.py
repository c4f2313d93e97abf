# SPDX-License-Identifier: MIT
"""HTTP connections to the door: used again while they are good, errors told as the eight."""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import socket
from collections.abc import Generator, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from strata.client import tls
from strata.client.feeding import Feeding
from strata.client.place import Place
from strata.client.routes import Target
from strata.errors import BY_CODE, Internal, InvalidArgument, StrataError, Unavailable

JSON = "application/json"
MOST_IDLE = 8
MOST = 512 * 1_048_576
"""Bytes of an answer that is read whole: more than any service says."""

MOST_LINE = 8 * 1_048_576
"""Bytes of one event of a stream."""

_BROKEN = (OSError, http.client.HTTPException)
_REFUSED = 400
_BY_STATUS = {400: 1, 401: 2, 403: 3, 404: 4, 413: 1, 416: 1, 429: 7, 409: 8, 503: 6}

Response = Generator[http.client.HTTPResponse, None, None]


class Dedicated(NamedTuple):
    """A connected socket, and what a request on it needs: Host, what comes before a path, who is calling."""

    sock: socket.socket
    host: str
    prefix: str
    headers: Mapping[str, str]


class Connections:
    """To one door, with one token."""

    def __init__(self, place: Place) -> None:
        """Raises InvalidArgument."""
        parts = urlsplit(place.url)
        try:
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError as error:
            raise InvalidArgument(f"cannot use {place.url} as an endpoint: {error}") from error
        if not self._host or parts.query or parts.username:
            raise InvalidArgument(f"cannot use {place.url} as an endpoint: give http://HOST:PORT or https://HOST:PORT")
        self._place, self._prefix = place, parts.path
        self._tls = tls.trusting(place.ca) if parts.scheme == "https" else None
        self._idle: list[http.client.HTTPConnection] = []

    @contextlib.contextmanager
    def response(
        self,
        target: Target,
        headers: Mapping[str, str],
        body: bytes | Iterator[bytes] | None = None,
        *,
        patient: bool = True,
        passing: int = 0,
    ) -> Response:
        """Send a request; its response, unread. Raises StrataError for every refusal but the status `passing`."""
        connection, response = self._take(patient), None
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # then the response says why
                self._send(connection, target, headers, body)
            response = connection.getresponse()
            _check(response, passing)
            yield response
        except _BROKEN as error:
            raise self._unavailable(error) from error
        finally:
            # One that was not read to its end leaves bytes behind that nobody may take for the next one's.
            if response and response.isclosed() and connection.sock and len(self._idle) < MOST_IDLE:
                self._idle.append(connection)
            else:
                connection.close()

    @contextlib.contextmanager
    def response_beside(self, target: Target, headers: Mapping[str, str], source: int) -> Response:
        """The same, while a thread sends what can be read from `source`."""
        connection = self._take(patient=True)
        try:
            self._head(connection, target, {**headers, "Transfer-Encoding": "chunked"})
            connection.endheaders()
            connection.sock = tls.opened(connection.sock)
            with Feeding(connection.sock, source):
                response = connection.getresponse()
                _check(response, 0)
                yield response
        except _BROKEN as error:
            raise self._unavailable(error) from error
        finally:
            connection.close()  # nobody knows how much of the source was still to come

    def dedicated(self) -> Dedicated:
        """A connection that is not used again, for what is no HTTP after its first answer. Raises Unavailable."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        where = f"{host}:{self._port}" if self._port else host
        headers = {"Authorization": f"Bearer {self._place.token}"} if self._place.token else {}
        return Dedicated(tls.opened(self._connected().sock), where, self._prefix, headers)

    def close(self) -> None:
        """Give them up."""
        while self._idle:
            self._idle.pop().close()

    # ---

    def _take(self, patient: bool) -> http.client.HTTPConnection:
        while self._idle:
            connection = self._idle.pop()
            if _alive(connection):
                break
            connection.close()
        else:
            connection = self._connected()
        connection.sock.settimeout(None if patient else self._place.timeout)
        return connection

    def _connected(self) -> http.client.HTTPConnection:
        timeout = self._place.timeout
        if self._tls:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._host, self._port, timeout=timeout, context=self._tls
            )
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        try:
            connection.connect()
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # work may take long and be silent
        except OSError as error:
            connection.close()
            raise self._unavailable(error) from error
        return connection

    def _send(
        self,
        connection: http.client.HTTPConnection,
        target: Target,
        headers: Mapping[str, str],
        body: bytes | Iterator[bytes] | None,
    ) -> None:
        chunked = body is not None and not isinstance(body, bytes) and "Content-Length" not in headers
        more = {"Content-Length": str(len(body))} if isinstance(body, bytes) else {}
        more |= {"Transfer-Encoding": "chunked"} if chunked else {}
        self._head(connection, target, {**headers, **more})
        # the encoded body goes with the head, in one packet
        connection.endheaders(body, encode_chunked=chunked)

    def _head(self, connection: http.client.HTTPConnection, target: Target, headers: Mapping[str, str]) -> None:
        connection.putrequest(target.verb, self._prefix + target.path, skip_accept_encoding=True)
        if self._place.token:
            connection.putheader("Authorization", f"Bearer {self._place.token}")
        for name, value in headers.items():
            connection.putheader(name, value)

    def _unavailable(self, error: Exception) -> Unavailable:
        reason = "no answer in time" if isinstance(error, TimeoutError) else (tls.reason(error) or type(error).__name__)
        return Unavailable(f"cannot reach {self._place.url}: {reason}")


def read_json(raw: bytes) -> Any:
    """Raises Internal."""
    try:
        return json.loads(raw or b"null")
    except (ValueError, RecursionError) as error:
        raise Internal(f"cannot read the answer: {error}") from error


def whole(response: http.client.HTTPResponse) -> bytes:
    """All of a response's body. Raises Internal when it is longer than any answer is, IncompleteRead."""
    raw = response.read(MOST)
    if response.length:  # only without a bound would it tell by itself that the rest did not come
        raise http.client.IncompleteRead(raw, response.length)
    if len(raw) == MOST:
        raise Internal(f"cannot read the answer: it has more than {MOST} bytes")
    return raw


def lines(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """A response's body, line by line. Raises Internal for one that is longer than any event is."""
    while line := response.readline(MOST_LINE):
        if len(line) == MOST_LINE:
            raise Internal(f"cannot read the answer: a line of it has more than {MOST_LINE} bytes")
        yield line


def refusal(body: Any, status: int = 500) -> StrataError:
    """The typed error of a body that the door sends with a status from 400 on."""
    if not isinstance(body, dict):
        return BY_CODE[_BY_STATUS.get(status, 5)](f"the door answered with status {status}")
    code = body.get("code")
    known = code if isinstance(code, int) and code else _BY_STATUS.get(status, 5)
    error = BY_CODE.get(known, Internal)(str(body.get("error", "no message")))
    details = body.get("details")
    error.details = details if isinstance(details, dict) else {}
    return error


def _check(response: http.client.HTTPResponse, passing: int) -> None:
    if response.status < _REFUSED or response.status == passing:
        return
    raw = whole(response)
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        body = {"error": raw.decode("utf-8", "replace").strip() or f"the door answered {response.status}"}
    raise refusal(body, response.status)


def _alive(connection: http.client.HTTPConnection) -> bool:
    """Whether nobody has hung up since the last answer."""
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return not poll.poll(0)
