# SPDX-License-Identifier: MIT
"""A request as a handler sees it, and the reply that it makes. Plain ASGI below; no framework's layers between."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, AsyncIterator, Hashable, Mapping
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import parse_qsl

import msgspec

from strata.api import reading
from strata.api.door import Door
from strata.api.held import Share
from strata.api.mount import Receive, Scope
from strata.api.routing import Route
from strata.errors import InvalidArgument

JSON = "application/json"

T = TypeVar("T")


class Reply(NamedTuple):
    """`body` is whole, or comes piece by piece; then the reply is chunked unless `headers` tell its length."""

    body: bytes | AsyncGenerator[bytes, None] = b""
    status: int = 200
    media: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


async def primed(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """A body that begins with an empty piece, past that piece: a generator that never began would clean nothing up."""
    await anext(pieces)
    return pieces


class Request:
    """One request, its path already matched: `path` holds the placeholders' values, percent-decoded."""

    def __init__(self, door: Door, scope: Scope, receive: Receive, route: Route, path: Mapping[str, str]) -> None:
        self.door, self.scope, self.route, self.path = door, scope, route, path
        self._receive = receive
        self._consumed = False

    @property
    def head(self) -> bool:
        """Whether only the headers are wanted."""
        return bool(self.scope["method"] == "HEAD")

    def values(self, name: bytes) -> list[str]:
        """All values of a header, in order; `name` in lower case."""
        return [value.decode("latin-1") for found, value in self.scope["headers"] if found == name]

    def header(self, name: bytes) -> str:
        """The value of a header, or ""."""
        return next(iter(self.values(name)), "")

    @functools.cached_property
    def token(self) -> str:
        """The caller's token. Raises Unauthenticated."""
        return self.door.token(self.values(b"authorization"))

    @functools.cached_property
    def query(self) -> list[tuple[str, str]]:
        """Names and values of the query string. Raises InvalidArgument."""
        try:
            text = self.scope["query_string"].decode("ascii")
            return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=1000)
        except ValueError as error:
            raise InvalidArgument(f"cannot read the query: {error}") from error

    def accepts(self, media: str) -> bool:
        """Whether the client names this media type in its Accept header."""
        return any(media in value for value in self.values(b"accept"))

    def sends(self, media: str) -> bool:
        """Whether the body is said to be of this media type."""
        return self.header(b"content-type").partition(";")[0].strip().lower() == media

    @property
    def length(self) -> int | None:
        """Bytes of the body, where the client told."""
        told = self.header(b"content-length")
        return int(told) if told.isdecimal() else None

    async def body(self) -> bytes:
        """The whole body. Raises TooLarge, Gone, and Unavailable when too much is held already."""
        share: Share = self.scope["strata.connection"].share
        return await reading.whole(self.chunks(), self.door.limits.body_bytes, self.length, share)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises Gone when the client hangs up before its end."""
        if not self._consumed:
            self._consumed = True
            async for piece in reading.pieces(self._receive):
                yield piece

    async def json(self, kind: type[T]) -> T:
        """The body as `kind`; an empty one is an object without fields. Raises InvalidArgument, and as `body`."""
        raw = await self.body()
        try:
            found: T = decoder(cast(Hashable, kind)).decode(raw or b"{}")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidArgument(f"cannot read the request body: {error}") from error
        return found

    def options(self, kind: type[T]) -> T:
        """The query string as `kind`: numbers and truths are read from text, a repeated name is a list where `kind`
        has one. Raises InvalidArgument."""
        lists = _list_fields(cast(Hashable, kind))
        found: dict[str, Any] = {}
        for name, value in self.query:
            if name in lists:
                found.setdefault(name, []).append(value)
            elif name in found:
                raise InvalidArgument(f"cannot read the query: {name} is there twice")
            else:
                found[name] = value
        try:
            return msgspec.convert(found, kind, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidArgument(f"cannot read the query: {error}") from error


@functools.cache
def decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    """One decoder a type: making one is dearer than using it."""
    return msgspec.json.Decoder(kind)


@functools.cache
def _list_fields(kind: Hashable) -> frozenset[str]:
    fields = msgspec.structs.fields(cast(Any, kind))
    return frozenset(field.encode_name for field in fields if _is_list(msgspec.inspect.type_info(field.type)))


def _is_list(kind: msgspec.inspect.Type) -> bool:
    return isinstance(kind.type if isinstance(kind, msgspec.inspect.Metadata) else kind, msgspec.inspect.ListType)
