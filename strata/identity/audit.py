# SPDX-License-Identifier: MIT
"""Audit records of the identity service: who did what with which capability. A token never stands in one."""

from __future__ import annotations

import base64
import functools

from strata.policy.token import PublicKey
from strata.sockets.method import Call
from strata.systemd import journal
from strata.systemd.audit import subject


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


def described(key: PublicKey) -> dict[str, object]:
    """A public key for the wire."""
    return {"version": key.version, "key": base64.b64encode(key.raw).decode(), "id": key.id}
