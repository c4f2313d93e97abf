# SPDX-License-Identifier: MIT
"""Sandboxes for programs that wait: `with Client() as strata: strata.session("alice", "task-001").exec("ls")`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from strata.client import verbs
from strata.client.options import given
from strata.client.place import SECONDS, Place, place
from strata.client.results import Description, Stats, Template
from strata.client.session import Session
from strata.client.transport import Transport
from strata.client.unix import UnixTransport


class Client:
    """The sandbox service. Threads may share one; after a fork(2), the child needs its own."""

    def __init__(
        self,
        endpoint: str | os.PathLike[str] | None = None,
        *,
        token: str | None = None,
        timeout: float | None = SECONDS,
        ca: str | os.PathLike[str] | None = None,
    ) -> None:
        """`endpoint`: `https://HOST:PORT`, `http://HOST:PORT`, or the path of a unix socket; by default the socket of
        this machine's Strata. `ca`: a file with the authorities (PEM) that the door's certificate may come from; by
        default those of this machine.

        Without `token`, the file that STRATA_TOKEN_FILE names is read; operators need none on the unix socket.
        `timeout`, in seconds, is for answers that do not wait for work. Raises InvalidArgument.
        """
        self._transport = _transport(place(endpoint, token, timeout, ca=ca))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up all connections. Sessions stay open."""
        self._transport.close()

    def session(self, owner: str, name: str) -> Session:
        """A session by its names, open or not."""
        return Session(self._transport, owner, name)

    def sessions(
        self, owner: str | None = None, *, labels: Mapping[str, str] | None = None, state: str | None = None
    ) -> tuple[Description, ...]:
        """The open sessions that the caller may see, or those of them with this owner, state and all these labels."""
        return self._ask(verbs.LIST, owner=owner, labels=labels, state=state)

    def stats(self) -> Stats:
        """How many sessions there are, and may be."""
        return self._ask(verbs.STATS)

    def templates(self) -> tuple[Template, ...]:
        """Named ways to open a session."""
        return self._ask(verbs.TEMPLATES)

    def call(self, method: str, params: Mapping[str, Any] | None = None) -> Any:
        """Any method of the service, as JSON values."""
        return self._transport.call(method, params or {}, patient=True)

    def _ask(self, verb: verbs.Verb[verbs.R], **params: Any) -> verbs.R:
        return verb.read(self._transport.call(verb.method, given(params), verb.patient))


def _transport(where: Place) -> Transport:
    if not where.url:
        return UnixTransport(where)
    from strata.client.http import HttpTransport  # loads http.client, which the unix socket can do without

    return HttpTransport(where)
