# SPDX-License-Identifier: MIT
"""The port, where the door is run by hand and systemd passed none."""

from __future__ import annotations

import os
import socket

from strata.errors import Unavailable

_BACKLOG = 4096


def bound(address: str) -> socket.socket:
    """A socket that listens at HOST:PORT; without a host, at every address. Raises Unavailable."""
    if os.environ.get("INVOCATION_ID"):  # systemd runs us (systemd.exec(5)), so its socket unit has failed
        raise Unavailable(
            f"systemd could not listen on {address}, most likely because another program does; stop that one, or "
            "choose another place with api.address in strata.toml or STRATA_SERVER_ADDR"
        )
    host, _, port = address.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]") or "::", int(port), type=socket.SOCK_STREAM)
        family, *_, place = found[0]
        return socket.create_server(place[:2], family=family, backlog=_BACKLOG, dualstack_ipv6=not host)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Unavailable(f"cannot listen on {address}: {reason}; api.address names another place") from error
