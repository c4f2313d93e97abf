# SPDX-License-Identifier: MIT
"""Where a caller's token stands in each protocol. It is read here, handed on to the room, and never written anywhere.

The door verifies nothing: the room does. But it lets nobody knock without a token (unless insecure_no_auth says so),
because the room takes a call without one for its own user's, and where Strata runs as one user that is the door's.
"""

from __future__ import annotations

from collections.abc import Iterable

from strata.errors import Unauthenticated

SUBPROTOCOL = "strata"
"""What a WebSocket is answered with when its client offered it."""

_BEARER = "bearer."


def bearer(values: Iterable[str], required: bool = True) -> str:
    """The token in the values of `authorization` (header or gRPC metadata); "" when there is none and none is needed.

    Raises Unauthenticated.
    """
    given = list(values)
    if not given:
        return _none(required)
    scheme, _, token = given[0].strip().partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer" or not _plausible(token := token.strip()):
        raise Unauthenticated("cannot read the credentials: send one header `Authorization: Bearer TOKEN`")
    return token


def offered(subprotocols: Iterable[str]) -> str:
    """The token among a WebSocket's subprotocols, `bearer.TOKEN`: a browser cannot send a header. "" if none."""
    found = [name[len(_BEARER) :] for name in subprotocols if name.startswith(_BEARER)]
    if len(found) > 1 or (found and not _plausible(found[0])):
        raise Unauthenticated("cannot read the credentials: offer one subprotocol `bearer.TOKEN`")
    return found[0] if found else ""


def _none(required: bool) -> str:
    if required:
        raise Unauthenticated("token required: send it as `Authorization: Bearer TOKEN`")
    return ""


def _plausible(token: str) -> bool:
    return 0 < len(token) <= 16_384 and token.isascii() and token.isprintable() and " " not in token
