# SPDX-License-Identifier: MIT
"""What every protocol of the door works with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from strata.api import credentials
from strata.api.limits import LIMITS, DoorLimits
from strata.api.pool import RoomPool
from strata.config import ApiSettings
from strata.errors import Unauthenticated


class Door(NamedTuple):
    """`room` is the way to the sandbox room, for all four protocols alike."""

    room: RoomPool
    settings: ApiSettings
    limits: DoorLimits = LIMITS

    def token(self, authorization: Iterable[str], subprotocols: Iterable[str] = ()) -> str:
        """The caller's token from the values of `authorization` (a header, gRPC metadata) or from a WebSocket's
        subprotocols. Raises Unauthenticated when there is none, unless insecure_no_auth lets everybody in."""
        given, offered = list(authorization), credentials.offered(subprotocols)
        if given and offered:  # two answers to the question who calls (RFC 6750, 2)
            raise Unauthenticated("cannot read the credentials: send a header or offer a subprotocol, not both")
        return offered or credentials.bearer(given, required=not self.settings.insecure_no_auth)
