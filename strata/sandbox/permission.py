# SPDX-License-Identifier: MIT
"""Who may do what with whose sessions. Deny by default.

A method is permitted by an action or right of its own name, or by the action of its group. A capability is for the one
owner it names; `*` is for all. Operators (root, Strata's own user, the configured ones) need none on the unix socket.
"""

from __future__ import annotations

from strata.errors import PermissionDenied, Unauthenticated
from strata.policy.capability import EVERYBODY, Claims
from strata.policy.gate import Gate
from strata.policy.ratelimit import Buckets
from strata.sockets.method import Call
from strata.types import Access

SERVICE = "sandbox"

# Method → the action that stands for its group.
GROUPS = {
    "create": "create",
    "extend": "create",
    "freeze": "create",
    "thaw": "create",
    "snapshot": "create",
    "remove_snapshot": "create",
    "fork": "create",
    "close": "close",
    "list": "list",
    "describe": "list",
    "usage": "list",
    "snapshots": "list",
    "templates": "list",
    "stats": "stats",
    "exec": "exec",
    "run": "run",
    "runs": "run",
    "output": "run",
    "signal": "run",
    "kill": "run",
    "wait": "run",
    "attach": "shell",
    "resize": "shell",
    "terminals": "shell",
    "hangup": "shell",
    "put": "files",
    "get": "files",
    "files": "files",
    "list_files": "files",
    "stat": "files",
    "mkdir": "files",
    "move": "files",
    "remove": "files",
    "watch": "files",
    "diff": "files",
    "export": "files",
}


class SandboxGate:
    """Callable as `Server(gate=…)`: who is calling. What he may do is `allow`'s to say, which knows the owner."""

    def __init__(self, gate: Gate, everybody: bool) -> None:
        """`everybody`: nobody is asked who he is (api.insecure_no_auth)."""
        self._gate, self._everybody = gate, everybody

    def __call__(self, access: Access, call: Call) -> Claims | None:
        """The claims of the token that was given, or None for one who needs none.

        A token is heeded whoever gives it: the door hands on those of its callers. Raises Unauthenticated.
        """
        if call.token:
            return self._gate.trust.verify(call.token)
        if access is Access.OPEN or self._everybody or self._gate.is_operator(call.peer):
            return None
        raise Unauthenticated("token required")


def allow(buckets: Buckets, claims: Claims | None, method: str, owner: str | None) -> None:
    """Whether the caller may use `method` (`sandbox.exec`) on sessions of `owner`; None is for methods without one.

    Raises PermissionDenied, or ResourceExhausted when the capability's rate is used up.
    """
    if claims is None:
        return
    permit(claims, method)
    if owner is not None and claims.owner not in (owner, EVERYBODY):
        raise PermissionDenied(_foreign(claims, owner), cap_id=claims.jti)
    buckets.charge(claims)


def permit(claims: Claims, method: str) -> None:
    """Whether the capability names the method or its group. Raises PermissionDenied."""
    action = method.partition(".")[2]
    if claims.service != SERVICE:
        raise PermissionDenied(f'token not valid for service "{SERVICE}"', cap_id=claims.jti)
    if method in claims.rights or action in claims.actions or GROUPS.get(action) in claims.actions:
        return
    raise PermissionDenied(f'method "{method}" not permitted', cap_id=claims.jti)


def _foreign(claims: Claims, owner: str) -> str:
    if not claims.owner:
        return 'the token names no owner; issue one with "owner"'
    return f"the token is for sessions of {claims.owner}, not of {owner}"
