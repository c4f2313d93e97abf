# SPDX-License-Identifier: MIT
"""All routes of HTTP and WebSocket: the one table that requests are looked up in and that documents are made from."""

from __future__ import annotations

from strata.api import files, openapi, predecessor, runs, sessions, terminals

_OURS = (*predecessor.ROUTES, *sessions.ROUTES, *runs.ROUTES, *files.ROUTES, *terminals.ROUTES)

ROUTES = (*_OURS, openapi.serving(_OURS))
