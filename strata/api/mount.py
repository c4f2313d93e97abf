# SPDX-License-Identifier: MIT
"""How MCP and gRPC come into the door: one function each, which main.py calls.

mcp_app.mounted(door)   async context manager; yields the ASGI app that answers everything below /mcp/ (the path it
                        sees is the whole one, root_path is empty). Origin, Host and the size of what is sent are
                        checked before it is called; the token is in the scope's headers as it came.
grpc_server.Grpc(door)  a `serving.Serving`: protocol() makes grpclib's H2Protocol, close() ends it
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Asgi: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
