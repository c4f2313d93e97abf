# SPDX-License-Identifier: MIT
"""Keeping a verifier's trust current: a long poll on the identity service.

`identity.revocations {since, wait_ms}` answers at once when there is more than `since`, else when there is or the wait
is over. Asking again with the newer `since` is the acknowledgement that `identity.revoke` waits for. While identity is
away the last known keys and revocations go on to count: nobody but identity can revoke.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from strata.errors import InvalidArgument, StrataError
from strata.policy.token import PublicKey, public_key
from strata.policy.trust import Trust
from strata.sockets.async_client import AsyncClient
from strata.sockets.client import new_req_id

WAIT_MS = 25_000
PATIENCE = 5.0
"""Seconds a room waits for the first snapshot before it starts all the same, refusing every token until it comes."""
_FIRST_DELAY, _LONGEST_DELAY = 0.05, 1.0  # seconds between attempts to connect

log = logging.getLogger(__name__)


class Key(msgspec.Struct, frozen=True):
    """A public key as `identity.keys` tells it: standard base64."""

    version: str
    key: str
    id: str


class Page(msgspec.Struct, frozen=True):
    """One answer of `identity.revocations`.

    `reset` starts a whole snapshot; `more` says that it goes on at `revision`, and must be asked for at once.
    """

    revision: int
    revoked: tuple[str, ...]
    keys: tuple[Key, ...]
    reset: bool = False
    more: bool = False


@contextlib.asynccontextmanager
async def following(
    trust: Trust, socket: Path, patience: float = PATIENCE, *, runs: bool = True
) -> AsyncIterator[None]:
    """Follow identity in the background for as long as the context lasts; enter when `trust` is ready.

    Without an answer within `patience` seconds it enters all the same, and the trust refuses what it cannot judge.
    Where identity does not run at all (`core.identity`), it refuses every token, and nobody is asked.
    """
    if not runs:
        yield
        return
    task = asyncio.create_task(follow(trust, socket))
    try:
        if not await trust.ready(patience):
            log.warning("identity does not answer at %s: tokens are refused until it does", socket)
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def follow(trust: Trust, socket: Path, wait_ms: int = WAIT_MS) -> None:
    """Keep `trust` current for ever; returns only by cancellation."""
    name, delay, away = new_req_id(), 0.0, False
    while True:
        await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311  jitter, no secret
        delay = min(max(_FIRST_DELAY, 2 * delay), _LONGEST_DELAY)
        try:
            async with contextlib.AsyncExitStack() as stack:
                client = await AsyncClient.connect(socket)
                stack.callback(client.close)
                async for _ in _pages(trust, client, wait_ms, name):
                    delay, away = _FIRST_DELAY, False
        except StrataError as error:
            log.log(logging.DEBUG if away else logging.INFO, "identity is away, trying again: %s", error.message)
            away = True
        except Exception:  # a follower that has ended would let revoked tokens pass, and nobody would know
            log.exception("cannot take what identity says, trying again")


async def _pages(trust: Trust, client: AsyncClient, wait_ms: int, name: str) -> AsyncIterator[Page]:
    """Ask, take, acknowledge by asking again. Every connection begins with a whole snapshot."""
    since, snapshot = 0, None
    while True:
        params = {"since": since, "wait_ms": wait_ms, "verifier": name}
        page = _read(await client.call("identity.revocations", params, timeout=wait_ms / 1000 + 10))
        snapshot = take(trust, page, snapshot)
        since = page.revision
        yield page


def take(trust: Trust, page: Page, snapshot: set[str] | None) -> set[str] | None:
    """Apply one page; returns the snapshot gathered so far, or None when none is under way.

    Raises InvalidArgument, leaving `trust` as it was, when the page carries no usable key.
    """
    keys = _keys(page)
    trust.revoke(page.revoked)  # at once, even while a snapshot is still under way
    if page.reset:
        snapshot = set()
    if snapshot is not None:
        snapshot.update(page.revoked)
        if not page.more:
            trust.replace_revoked(snapshot)
            snapshot = None
    if page.more:
        return snapshot
    trust.set_keys(keys)  # last: with keys but half of the revocations a revoked token would pass
    trust.mark_ready()
    return None


def _keys(page: Page) -> list[PublicKey]:
    keys = [public_key(key.version, key.key) for key in page.keys]
    if not keys:
        raise InvalidArgument("cannot follow identity: it named no key")
    return keys


def _read(result: object) -> Page:
    try:
        return msgspec.convert(result, Page)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"cannot read the answer of identity.revocations: {error}") from error
