# SPDX-License-Identifier: MIT
"""Until when a certificate is valid: for the door, which refuses an expired one, and for `doctor`, which warns."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from strata.errors import InvalidArgument


class Validity(NamedTuple):
    """Points in time, UTC."""

    begins: datetime.datetime
    ends: datetime.datetime

    def seconds_left(self) -> float:
        """Below 0 when it has expired."""
        return (self.ends - datetime.datetime.now(datetime.UTC)).total_seconds()

    @property
    def last(self) -> str:
        """Its end, for people."""
        return f"{self.ends:%Y-%m-%d %H:%M UTC}"


def validity(pem: bytes) -> Validity:
    """Of the first certificate, the server's own (RFC 8446, 4.4.2). Raises InvalidArgument for what is none."""
    from cryptography import x509  # most who load this module never ask

    try:
        found = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise InvalidArgument("it holds no certificate in PEM") from error
    return Validity(found.not_valid_before_utc, found.not_valid_after_utc)
