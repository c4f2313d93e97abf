# SPDX-License-Identifier: MIT
"""From a verb and a path to a row of the route table, segment by segment.

Segments are decoded after they were split, so that an escaped slash stays inside its segment and no path is ever
cleaned up, redirected or read in two ways.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec

from strata.errors import InvalidArgument

WEBSOCKET = "WEBSOCKET"
"""The verb of a route that a client upgrades."""

_ANY, _END = "{}", "/"
_KEYS = (_ANY, _END)  # of the tree; a segment that reads like one is a value like any other

Handler = Callable[[Any], Awaitable[Any]]


class Route(NamedTuple):
    """One row. `handle` takes an `exchange.Request` and returns a `Reply`; of a WEBSOCKET route, it takes a
    `websocket.WebSocket` and returns nothing. `method` is the room's; `body` and `query` are what the client sends."""

    verb: str
    path: str
    handle: Handler
    summary: str
    method: str = ""
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    result: type[msgspec.Struct] | None = None
    sends: tuple[str, ...] = ()  # media types of a body that is no JSON
    answers: tuple[str, ...] = ("application/json",)
    open: bool = False  # no token needed
    parts: bool = False  # Range is heeded


class Found(NamedTuple):
    """`route` is None when only other verbs are known for the path: `verbs` then lists them."""

    route: Route | None
    path: Mapping[str, str]
    verbs: tuple[str, ...]


class Router:
    """Looks routes up. Fixed segments win over placeholders."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root: dict[str, Any] = {}
        for route in routes:
            node = self._root
            for segment in route.path.split("/")[1:]:
                node = node.setdefault(_ANY if segment.startswith("{") else segment, {})
            node.setdefault(_END, {})[route.verb] = route

    def find(self, verb: str, raw_path: bytes) -> Found | None:
        """None for a path that no route has. Raises InvalidArgument for one that is not UTF-8."""
        segments = [_decoded(part) for part in raw_path.split(b"/")[1:]]
        leaf, node = self._walk(self._root, segments, 0)
        if not leaf:
            return None
        route = node.get(verb)
        some: Route = route or next(iter(node.values()))
        names = (part.strip("{}") if part.startswith("{") else "" for part in some.path.split("/")[1:])
        path = {name: segment for name, segment in zip(names, segments, strict=True) if name}
        return Found(route, path, tuple(sorted(node)))

    def _walk(self, node: dict[str, Any], segments: list[str], at: int) -> tuple[bool, dict[str, Any]]:
        if at == len(segments):
            return _END in node, node.get(_END, {})
        segment = segments[at]
        fixed = node.get(segment) if segment not in _KEYS else None
        for child in (fixed, node.get(_ANY)):
            if child is not None:
                found, leaf = self._walk(child, segments, at + 1)
                if found:
                    return found, leaf
        return False, {}


def _decoded(part: bytes) -> str:
    try:
        return unquote_to_bytes(part).decode() if b"%" in part else part.decode("ascii")
    except UnicodeDecodeError as error:
        raise InvalidArgument("cannot read the path: it is not UTF-8") from error
