# SPDX-License-Identifier: MIT
"""Verifying PASETO `v2.public` and `v4.public` by libsodium (spec 1.8; paseto-spec docs/01-Protocol-Versions).

Stricter than the reference: base64url without padding and line breaks, with zero trailing bits, and no footer.
"""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Iterable
from typing import NamedTuple

from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from strata.errors import InvalidArgument, Unauthenticated
from strata.policy.capability import Claims, decode

V2 = "v2.public"
V4 = "v4.public"
FORMATS = (V2, V4)
LONGEST = 16_384
"""Characters of a token: far more than sixteen ancestors need, far less than a frame holds."""

_SIGNATURE = 64
_KEY = 32
_ALPHABET = re.compile(r"[A-Za-z0-9_-]*")
# Pieces that the signature covers beside the message: header, footer; v4 adds the implicit assertion (both empty here).
_EMPTY_PIECES = {V2: 1, V4: 2}


class PublicKey(NamedTuple):
    """An Ed25519 public key that verifies tokens of one version and no other (paseto-spec 02, key separation)."""

    version: str
    raw: bytes

    @property
    def id(self) -> str:
        """Its PASERK id (`k4.pid.…`), safe to log."""
        digit = self.version[1]
        header = f"k{digit}.pid."
        body = f"{header}k{digit}.public.{_b64(self.raw)}".encode()
        return header + _b64(hashlib.blake2b(body, digest_size=33).digest())


def public_key(version: str, encoded: str) -> PublicKey:
    """A key from its standard, padded base64. Raises InvalidArgument."""
    try:
        raw = base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise InvalidArgument(f"cannot read the {version} public key: {error}") from error
    if version not in FORMATS or len(raw) != _KEY:
        raise InvalidArgument(f"cannot use the {version} public key: expected {_KEY} bytes for one of {FORMATS}")
    return PublicKey(version, raw)


def verify(token: str, keys: Iterable[PublicKey]) -> Claims:
    """The claims of a token that one of `keys` signed. Neither times nor revocation are judged here.

    Raises Unauthenticated `invalid token: …`; the checks come in the order of spec 1.8.
    """
    if len(token) > LONGEST:
        raise _invalid(f"longer than {LONGEST} characters")
    version = token[: len(V2)]
    if version not in FORMATS or token[len(V2) : len(V2) + 1] != ".":
        raise _invalid("invalid token header")
    body = _decode(token[len(V2) + 1 :])
    if len(body) < _SIGNATURE:
        raise _invalid("token too short")
    message, signature = body[:-_SIGNATURE], body[-_SIGNATURE:]
    signed = signature + pre_auth(version, message)
    if not any(_signed_by(key, signed) for key in keys if key.version == version):
        raise _invalid("invalid signature")
    try:
        return decode(message)
    except InvalidArgument as error:
        raise _invalid(error.message) from error


def pre_auth(version: str, message: bytes) -> bytes:
    """What the signature covers: PAE of header, message, and the empty pieces of that version."""
    pieces = (f"{version}.".encode(), message, *(b"",) * _EMPTY_PIECES[version])
    return struct.pack("<Q", len(pieces)) + b"".join(struct.pack("<Q", len(piece)) + piece for piece in pieces)


def _signed_by(key: PublicKey, signed: bytes) -> bool:
    try:
        crypto_sign_open(signed, key.raw)
    except BadSignatureError:
        return False
    return True


def _decode(text: str) -> bytes:
    if not _ALPHABET.fullmatch(text) or len(text) % 4 == 1:
        raise _invalid("decode token: not base64url without padding")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _b64(raw) != text:
        raise _invalid("decode token: trailing bits are not zero")
    return raw


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _invalid(reason: str) -> Unauthenticated:
    return Unauthenticated(f"invalid token: {reason}")
