# SPDX-License-Identifier: MIT
"""Parameters of the methods on a session's layers."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from strata.sandbox.params_session import Addressed

Name = Annotated[str, Meta(description="of the snapshot, unique among its owner's")]


class SnapshotParams(Addressed, frozen=True, kw_only=True):
    """Parameters of sandbox.snapshot and sandbox.remove_snapshot."""

    name: Name


class SnapshotsParams(Addressed, frozen=True, kw_only=True):
    """Parameters of sandbox.snapshots: an owner is enough."""


class ForkParams(Addressed, frozen=True, kw_only=True):
    """Parameters of sandbox.fork: from a snapshot, or from the session as it is now."""

    to_session: Annotated[str, Meta(description="the new session, of the same owner")]
    snapshot: Annotated[str | None, Meta(description="from this snapshot; then no session need be named")] = None
    labels: Annotated[dict[str, str] | None, Meta(description="of the new session")] = None
    env: Annotated[dict[str, str] | None, Meta(description="besides what the old one has")] = None
    ttl: Annotated[str | None, Meta(description="closed when idle for so long, such as 30m")] = None
    lifetime: Annotated[str | None, Meta(description="ended after so long, whatever it does")] = None
