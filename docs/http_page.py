# SPDX-License-Identifier: MIT
"""The generated parts of docs/http.md, from the route table and the types that bodies and queries are read into."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_type_hints

import msgspec
from formatting import anchor, noun, plain, shown, table

from strata.api import statuses
from strata.api import table as routes
from strata.api.routing import Route
from strata.errors import ERRORS


def door_errors() -> str:
    """What each error is called in each protocol of the door."""
    rows = [(str(kind.code), f"`{kind.name}`", *(str(number) for number in statuses.TABLE[kind])) for kind in ERRORS]
    return table(("code", "name", "HTTP", "gRPC", "JSON-RPC", "WebSocket close"), rows)


def http_routes() -> str:
    """Every route, with the method that it calls."""
    rows = [(route.verb, f"`{route.path}`", _calls(route), route.summary) for route in routes.ROUTES]
    return table(("verb", "path", "method", "what it does"), rows)


def _calls(route: Route) -> str:
    return f"[`{route.method}`](protocol.md#{anchor(route.method)})" if route.method else ""


def http_parameters() -> str:
    """What each route of /api/v1 takes, beside what its path says."""
    parts = []
    for route in routes.ROUTES:
        rows = [(f"`{name}`", "query", *told) for name, *told in _fields(route.query)]
        rows += [(f"`{name}`", "body", *told) for name, *told in _fields(route.body)]
        if rows and route.path.startswith("/api/v1/"):
            parts.append(
                f"#### {route.verb} {route.path}\n\n" + table(("name", "in", "type", "default", "meaning"), rows)
            )
    return "\n".join(parts)


def _fields(kind: type[msgspec.Struct] | None) -> Iterable[tuple[str, str, str, str]]:
    hints = get_type_hints(kind, include_extras=True) if kind else {}
    for info in msgspec.structs.fields(kind) if kind else ():
        found, description = plain(hints[info.name])
        yield info.encode_name, noun(found), "**required**" if info.required else shown(info.default), description
