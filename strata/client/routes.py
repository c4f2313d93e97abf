# SPDX-License-Identifier: MIT
"""Where the HTTP door has each method: verb and path. What the path does not take goes into the query or the body."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from strata.errors import InvalidArgument

_SESSION = "/api/v1/sessions/{owner}/{session}"
_RUN = _SESSION + "/runs/{id}"
_TERMINAL = _SESSION + "/terminals/{terminal}"

ROUTES: Mapping[str, tuple[str, str]] = {
    "sandbox.stats": ("GET", "/api/v1/stats"),
    "sandbox.templates": ("GET", "/api/v1/templates"),
    "sandbox.list": ("GET", "/api/v1/sessions"),
    "sandbox.create": ("PUT", _SESSION),
    "sandbox.describe": ("GET", _SESSION),
    "sandbox.close": ("DELETE", _SESSION),
    "sandbox.extend": ("POST", _SESSION + "/extend"),
    "sandbox.freeze": ("POST", _SESSION + "/freeze"),
    "sandbox.thaw": ("POST", _SESSION + "/thaw"),
    "sandbox.usage": ("GET", _SESSION + "/usage"),
    "sandbox.snapshots": ("GET", _SESSION + "/snapshots"),
    "sandbox.snapshot": ("POST", _SESSION + "/snapshots"),
    "sandbox.remove_snapshot": ("DELETE", _SESSION + "/snapshots/{name}"),
    "sandbox.fork": ("POST", _SESSION + "/fork"),
    "sandbox.exec": ("POST", _SESSION + "/exec"),
    "sandbox.run": ("POST", _SESSION + "/run"),
    "sandbox.runs": ("GET", _SESSION + "/runs"),
    "sandbox.output": ("GET", _RUN + "/output"),
    "sandbox.signal": ("POST", _RUN + "/signal"),
    "sandbox.kill": ("POST", _RUN + "/kill"),
    "sandbox.wait": ("POST", _RUN + "/wait"),
    "sandbox.terminals": ("GET", _SESSION + "/terminals"),
    "sandbox.attach": ("GET", _TERMINAL),
    "sandbox.resize": ("POST", _TERMINAL + "/resize"),
    "sandbox.hangup": ("DELETE", _TERMINAL),
    "sandbox.put": ("PUT", _SESSION + "/files"),
    "sandbox.get": ("GET", _SESSION + "/files"),
    "sandbox.remove": ("DELETE", _SESSION + "/files"),
    "sandbox.files": ("GET", _SESSION + "/entries"),
    "sandbox.stat": ("GET", _SESSION + "/stat"),
    "sandbox.mkdir": ("POST", _SESSION + "/mkdir"),
    "sandbox.move": ("POST", _SESSION + "/move"),
    "sandbox.watch": ("GET", _SESSION + "/watch"),
    "sandbox.diff": ("GET", _SESSION + "/diff"),
    "sandbox.export": ("GET", _SESSION + "/export"),
}


class Target(NamedTuple):
    """A request line, and the parameters that are left for a body."""

    verb: str
    path: str
    rest: dict[str, Any]


def target(method: str, params: Mapping[str, Any], query: bool | None = None) -> Target:
    """`query` puts what the path does not take there; unless it is told, GET and DELETE do. Raises InvalidArgument."""
    if method not in ROUTES:
        raise InvalidArgument(f"cannot call {method} over HTTP: there is no route for it")
    verb, template = ROUTES[method]
    rest = dict(params)
    path = "/".join(_segment(part, rest) for part in template.split("/"))
    if query if query is not None else verb in ("GET", "DELETE"):
        text = urlencode(list(_pairs(rest)))
        return Target(verb, f"{path}?{text}" if text else path, {})
    return Target(verb, path, rest)


def _segment(part: str, rest: dict[str, Any]) -> str:
    if not part.startswith("{"):
        return part
    value = str(rest.pop(part.strip("{}"), ""))
    if value in ("", ".", ".."):  # they would be another path
        raise InvalidArgument(f"cannot use {value!r} as {part.strip('{}')}")
    return quote(value, safe="")


def _pairs(rest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in rest.items():
        if name == "labels":
            yield from (("label", f"{key}={text}") for key, text in value.items())
        elif name == "env":
            yield from ((name, f"{key}={text}") for key, text in value.items())
        elif name == "offset" and isinstance(value, Mapping):
            yield from ((key, str(number)) for key, number in value.items())
        elif isinstance(value, list | tuple):
            yield from ((name, str(item)) for item in value)
        else:
            yield name, str(value).lower() if isinstance(value, bool) else str(value)
