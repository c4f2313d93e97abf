# SPDX-License-Identifier: MIT
"""Sandboxes from Python: `from strata.client import Client`. Names load when they are used: Client takes no asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strata.client.async_client import AsyncClient as AsyncClient
    from strata.client.sync_client import Client as Client

__all__ = ["AsyncClient", "Client"]


def __getattr__(name: str) -> Any:
    """The two clients (PEP 562)."""
    if name == "Client":
        from strata.client.sync_client import Client

        return Client
    if name == "AsyncClient":
        from strata.client.async_client import AsyncClient

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
