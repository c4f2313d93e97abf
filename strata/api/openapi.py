# SPDX-License-Identifier: MIT
"""OpenAPI 3.1, made from the route table and the types that bodies and queries are read into."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

import strata
from strata.api import results, statuses
from strata.api.exchange import JSON, Reply, Request
from strata.api.routing import WEBSOCKET, Handler, Route

PATH = "/api/openapi.json"
ID = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""What the room takes for an owner or a session; it decides, this tells."""

_REFERENCE = "#/components/schemas/{name}"
_TITLE = re.compile(r"\{(\w+)\}")


def serving(routes: Sequence[Route]) -> Route:
    """The route that answers the description of these routes and of itself; it is no secret, so nobody is asked for."""
    body: list[bytes] = []

    async def describe(request: Request) -> Reply:
        if not body:
            body.append(msgspec.json.encode(document((*routes, route))))
        return Reply(body[0])

    handle: Handler = describe
    route = Route("GET", PATH, handle, "This description", open=True)
    return route


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The whole description."""
    kinds = [kind for route in routes for kind in (route.body, route.query, route.result) if kind]
    _, schemas = msgspec.json.schema_components([*dict.fromkeys(kinds), results.Error], ref_template=_REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        verb = "get" if route.verb == WEBSOCKET else route.verb.lower()
        paths.setdefault(route.path, {})[verb] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Strata", "version": strata.__version__},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "PASETO"}},
        },
        "security": [{"token": []}],
    }


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {"summary": route.summary, "responses": _responses(route)}
    if route.open:
        said["security"] = []
    if parameters := [*_placeholders(route), *_query(route, schemas)]:
        said["parameters"] = parameters
    content: dict[str, Any] = {media: {} for media in route.sends} | (
        {JSON: {"schema": _ref(route.body)}} if route.body else {}
    )
    if content:
        said["requestBody"] = {"content": content}
    if route.method:
        said["x-strata-method"] = route.method
    return said


def _responses(route: Route) -> dict[str, Any]:
    if route.verb == WEBSOCKET:
        found: dict[str, Any] = {"101": {"description": "The connection is a WebSocket now"}}
    else:
        schema = {"schema": _ref(route.result)} if route.result else {}
        found = {"200": {"description": "Done", "content": dict.fromkeys(route.answers, schema)}}
    if route.open:
        return found
    if route.parts:
        found["206"] = {"description": "The part that Range names", "content": {route.answers[0]: {}}}
    failure = {"description": "Refused", "content": {JSON: {"schema": _ref(results.Error)}}}
    return found | {str(code): failure for code in sorted(_codes(route))}


def _codes(route: Route) -> set[int]:
    own = {413} if route.body else set()
    return own | ({416} if route.parts else set()) | {status.http for status in statuses.TABLE.values()}


def _placeholders(route: Route) -> Iterable[dict[str, Any]]:
    for name in _TITLE.findall(route.path):
        yield {"name": name, "in": "path", "required": True, "schema": _kind(name)}


def _kind(placeholder: str) -> dict[str, str]:
    if placeholder in ("owner", "session"):
        return {"type": "string", "pattern": f"^{ID}$"}
    return {"type": "string"}


def _query(route: Route, schemas: dict[str, Any]) -> Iterable[dict[str, Any]]:
    if not route.query:
        return
    schema = schemas[route.query.__name__]
    for name, kind in schema["properties"].items():
        about = {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": kind}
        yield about | ({"description": kind["description"]} if "description" in kind else {})


def _ref(kind: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(name=kind.__name__)}
