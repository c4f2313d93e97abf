# SPDX-License-Identifier: MIT
"""Most routes say the same thing in two languages: what came as a path, a query and a body goes to the room as
parameters, and the room's result goes back as it is."""

from __future__ import annotations

from typing import Any

import msgspec

from strata.api.exchange import Reply, Request


async def forward(request: Request) -> Reply:
    """The handler of those routes."""
    token = request.token  # first: who is nobody need not send a body
    params = await parameters(request)
    return Reply(await request.door.room.raw(request.route.method, params, token))


async def parameters(request: Request) -> dict[str, Any]:
    """Path, query and body as the room's parameters. Raises InvalidArgument, TooLarge, Gone."""
    params: dict[str, Any] = dict(request.path)
    if request.route.query:
        params |= msgspec.to_builtins(request.options(request.route.query))
    if request.route.body:
        params |= msgspec.to_builtins(await request.json(request.route.body))
    return params | dict(request.path)  # nothing that is sent may redirect what the path says
