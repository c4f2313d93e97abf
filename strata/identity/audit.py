# SPDX-License-Identifier: MIT
"""Audit records of the identity service: who did what with which capability. A token never stands in one."""

from __future__ import annotations

import base64
import functools

from strata.errors import StrataError
from strata.policy.token import PublicKey
from strata.sockets.method import Call
from strata.systemd import journal

_WARNING = 4  # syslog(3)


def later(event: str, call: Call, cap_id: str = "", resource: str = "") -> None:
    """Record an event once the caller's answer is on its way."""
    journal.later(functools.partial(_send, event, call, cap_id, resource))


def _send(event: str, call: Call, cap_id: str, resource: str) -> None:
    journal.send(
        event,
        f"{event} {cap_id or resource} by {subject(call)}",
        service="identity",
        req_id=call.req_id,
        subject=subject(call),
        cap_id=cap_id,
        action=call.method,
        resource=resource,
    )


def denied(call: Call, error: StrataError) -> None:
    """Record a refusal (codes 2 and 3)."""
    journal.send(
        "auth.denied",
        f"{call.method} refused to {subject(call)}: {error.message}",
        priority=_WARNING,
        service="identity",
        req_id=call.req_id,
        subject=subject(call),
        cap_id=error.details.get("cap_id", ""),
        action=call.method,
        resource=call.method,
        detail=error.message,
    )


def subject(call: Call) -> str:
    """`cap:ID` when a token let the call pass, else `uid:N`."""
    return f"cap:{call.claims.jti}" if call.claims else f"uid:{call.peer.uid}"


def described(key: PublicKey) -> dict[str, object]:
    """A public key for the wire."""
    return {"version": key.version, "key": base64.b64encode(key.raw).decode(), "id": key.id}
