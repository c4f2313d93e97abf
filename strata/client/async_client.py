# SPDX-License-Identifier: MIT
"""Sandboxes for asyncio: `async with AsyncClient() as strata: await strata.session("alice", "task-001").exec("ls")`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from strata.client import verbs
from strata.client.async_session import AsyncSession
from strata.client.async_unix import AsyncTransport
from strata.client.options import given
from strata.client.place import SECONDS, place
from strata.client.results import Description, Stats, Template


class AsyncClient:
    """The sandbox service, over its unix socket. Tasks may share one; cancelling a call cancels its work."""

    def __init__(
        self,
        endpoint: str | os.PathLike[str] | None = None,
        *,
        token: str | None = None,
        timeout: float | None = SECONDS,
    ) -> None:
        """`endpoint`: the path of a unix socket; by default the socket of this machine's Strata.

        Without `token`, the file that STRATA_TOKEN_FILE names is read; operators need none on the unix socket.
        `timeout`, in seconds, is for answers that do not wait for work. Raises InvalidArgument.
        """
        self._transport = AsyncTransport(place(endpoint, token, timeout))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up all connections. Sessions stay open."""
        self._transport.close()

    def session(self, owner: str, name: str) -> AsyncSession:
        """A session by its names, open or not."""
        return AsyncSession(self._transport, owner, name)

    async def sessions(
        self, owner: str | None = None, *, labels: Mapping[str, str] | None = None, state: str | None = None
    ) -> tuple[Description, ...]:
        """The open sessions that the caller may see, or those of them with this owner, state and all these labels."""
        return await self._ask(verbs.LIST, owner=owner, labels=labels, state=state)

    async def stats(self) -> Stats:
        """How many sessions there are, and may be."""
        return await self._ask(verbs.STATS)

    async def templates(self) -> tuple[Template, ...]:
        """Named ways to open a session."""
        return await self._ask(verbs.TEMPLATES)

    async def call(self, method: str, params: Mapping[str, Any] | None = None) -> Any:
        """Any method of the service, as JSON values."""
        return await self._transport.call(method, params or {}, patient=True)

    async def _ask(self, verb: verbs.Verb[verbs.R], **params: Any) -> verbs.R:
        return verb.read(await self._transport.call(verb.method, given(params), verb.patient))
