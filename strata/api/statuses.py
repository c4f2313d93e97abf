# SPDX-License-Identifier: MIT
"""What each of the eight errors is called in every protocol that the door speaks: the one table for all four.

HTTP: RFC 9110. gRPC: the canonical codes. MCP: JSON-RPC 2.0 codes, the application's own below -32000. WebSocket: RFC
6455, 7.4; codes from 4000 are ours, and read as 4000 + the HTTP status.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from strata.errors import (
    Conflict,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    StrataError,
    Unauthenticated,
    Unavailable,
)


class Status(NamedTuple):
    """One error, four protocols."""

    http: int
    grpc: int
    jsonrpc: int
    websocket: int


TABLE: Mapping[type[StrataError], Status] = MappingProxyType(
    {
        InvalidArgument: Status(400, 3, -32602, 4400),
        Unauthenticated: Status(401, 16, -32001, 4401),
        PermissionDenied: Status(403, 7, -32003, 4403),
        NotFound: Status(404, 5, -32004, 4404),
        Internal: Status(500, 13, -32603, 1011),
        Unavailable: Status(503, 14, -32006, 1013),
        ResourceExhausted: Status(429, 8, -32007, 4429),
        Conflict: Status(409, 9, -32008, 4409),
    }
)


def of(error: StrataError) -> Status:
    """The row of an error; of an unexpected kind, that of Internal."""
    return next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), TABLE[Internal])
