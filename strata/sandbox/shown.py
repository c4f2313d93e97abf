# SPDX-License-Identifier: MIT
"""What callers are told of a session."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import msgspec

from strata.sandbox.session import Session


def moment(seconds: float) -> str:
    """RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def summary(session: Session) -> dict[str, Any]:
    """What a session is: what create answers."""
    record = session.record
    return {
        "owner": record.owner,
        "session": record.session,
        "created_at": moment(record.created_at),
        "unit": session.key.scope,
        "state": str(session.state),
        "driver": record.driver,
        "network": record.network,
        "base": record.base,
        "template": record.template,
        "labels": record.labels,
        "limits": msgspec.to_builtins(record.limits),
        "ttl_seconds": record.ttl_seconds,
        "lifetime_seconds": record.lifetime_seconds,
        "expires_at": moment(record.expires_at) if record.expires_at else "",
        "warnings": list(record.warnings),
    }


def description(session: Session) -> dict[str, Any]:
    """And what it is doing."""
    return summary(session) | {
        "idle_seconds": round(session.idle_seconds, 3),
        "age_seconds": round(time.time() - session.record.created_at, 3),
        "activity": sorted(session.activities.values()),
        "pid": session.record.init_pid,
        "cgroup": str(session.groups.scope.tree),
        **{name: part.summary() for name, part in session.parts.items()},
    }
