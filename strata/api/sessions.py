# SPDX-License-Identifier: MIT
"""Whole sessions."""

from __future__ import annotations

from typing import Any

import msgspec

from strata.api import bodies, results
from strata.api.exchange import Reply, Request
from strata.api.forwarding import forward
from strata.api.routing import Route
from strata.errors import InvalidArgument

_SESSION = "/api/v1/sessions/{owner}/{session}"


async def select(request: Request) -> Reply:
    """Sessions, by owner, state and labels."""
    token = request.token
    params: dict[str, Any] = msgspec.to_builtins(request.options(bodies.Select))
    if labels := params.pop("label", None):
        params["labels"] = _labels(labels)
    return Reply(await request.door.room.raw("sandbox.list", params, token))


def _labels(given: list[str]) -> dict[str, str]:
    for text in given:
        if "=" not in text:
            raise InvalidArgument(f"cannot read label={text[:64]!r}: it must be NAME=VALUE")
    return dict(text.split("=", 1) for text in given)


ROUTES = (
    Route("GET", "/api/v1/stats", forward, "How many sessions there are", "sandbox.stats", result=results.Stats),
    Route("GET", "/api/v1/templates", forward, "Named ways to open a session", "sandbox.templates"),
    Route("GET", "/api/v1/sessions", select, "Sessions", "sandbox.list", query=bodies.Select, result=results.Sessions),
    Route(
        "POST",
        "/api/v1/sessions",
        forward,
        "Open a session; the one that is there when there is one",
        "sandbox.create",
        body=bodies.CreateNamed,
        result=results.Session,
    ),
    Route(
        "PUT",
        _SESSION,
        forward,
        "Open this session; the one that is there when there is one",
        "sandbox.create",
        body=bodies.Create,
        result=results.Session,
    ),
    Route("GET", _SESSION, forward, "A session", "sandbox.describe", result=results.Session),
    Route(
        "DELETE",
        _SESSION,
        forward,
        "Close a session; answers when nothing of it is left",
        "sandbox.close",
        result=results.Closed,
    ),
    Route(
        "POST",
        _SESSION + "/extend",
        forward,
        "Let it live longer",
        "sandbox.extend",
        body=bodies.Extend,
        result=results.Session,
    ),
    Route("POST", _SESSION + "/freeze", forward, "Stop everything in it", "sandbox.freeze", result=results.Session),
    Route("POST", _SESSION + "/thaw", forward, "Let it go on", "sandbox.thaw", result=results.Session),
    Route("GET", _SESSION + "/usage", forward, "What it uses and has used", "sandbox.usage"),
    Route("GET", _SESSION + "/snapshots", forward, "The owner's snapshots", "sandbox.snapshots"),
    Route(
        "POST",
        _SESSION + "/snapshots",
        forward,
        "Keep the session's files under a name",
        "sandbox.snapshot",
        body=bodies.Snapshot,
    ),
    Route("DELETE", _SESSION + "/snapshots/{name}", forward, "Remove a snapshot", "sandbox.remove_snapshot"),
    Route(
        "POST",
        _SESSION + "/fork",
        forward,
        "Open a new session with the files of this one, or of a snapshot",
        "sandbox.fork",
        body=bodies.Fork,
        result=results.Session,
    ),
)
