# SPDX-License-Identifier: MIT
"""Parameters of the identity methods. Those typed Any are judged by the handler, by the reference's lenient rules."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta


class IssueParams(msgspec.Struct, frozen=True):
    """identity.issue."""

    service: Annotated[str, Meta(description="service that the capability is for")]
    actions: Annotated[Any, Meta(description="list of actions of that service, e.g. open")] = None
    rights: Annotated[Any, Meta(description="list of full method names, e.g. fs.open")] = None
    path_prefix: Annotated[str, Meta(description="absolute directory that paths must lie in")] = ""
    rate_limit: Annotated[str, Meta(description="calls per second, e.g. 50rps")] = ""
    owner: Annotated[str, Meta(description="whose sandbox sessions it is for; * is everybody's")] = ""
    ttl_seconds: Annotated[Any, Meta(description="seconds until it expires; absent, 0 or less: the default")] = None
    format: Annotated[str, Meta(description="v2.public (default) or v4.public")] = ""


class AttenuateParams(msgspec.Struct, frozen=True):
    """identity.attenuate: what is not given is as in the parent."""

    token: Annotated[str, Meta(description="the token to make a narrower one of")]
    actions: Annotated[Any, Meta(description="subset of its actions")] = None
    rights: Annotated[Any, Meta(description="subset of its rights")] = None
    path_prefix: Annotated[str, Meta(description="directory beneath its path_prefix")] = ""
    rate_limit: Annotated[str, Meta(description="at most its rate_limit")] = ""
    owner: Annotated[str, Meta(description="one owner, where the parent is for everybody's sessions")] = ""
    ttl_seconds: Annotated[Any, Meta(description="seconds until it expires, not after the parent")] = None
    format: Annotated[str, Meta(description="v2.public or v4.public; default as the parent")] = ""


class RevokeParams(msgspec.Struct, frozen=True):
    """identity.revoke."""

    cap_id: Annotated[str, Meta(description="capability to revoke, with all that descends from it")]
    token: Annotated[str, Meta(description="its token, when the caller holds an ancestor and is no operator")] = ""


class IntrospectParams(msgspec.Struct, frozen=True):
    """identity.introspect."""

    token: Annotated[str, Meta(description="the token to explain")]


class RotateParams(msgspec.Struct, frozen=True):
    """identity.rotate."""

    overlap_seconds: Annotated[
        int | None, Meta(description="how long the old keys still verify; 0 for a key that leaked")
    ] = None


class RevocationsParams(msgspec.Struct, frozen=True):
    """identity.revocations."""

    since: Annotated[int, Meta(description="revision already taken; 0 asks for all")] = 0
    wait_ms: Annotated[int, Meta(description="how long to wait for news, at most 60000")] = 0
    verifier: Annotated[
        str,
        Meta(
            description="the follower's name, the same over its polls and connections: `identity.revoke` waits for its "
            "confirmation until its process ends; without one it only reads along"
        ),
    ] = ""
