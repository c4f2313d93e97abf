# SPDX-License-Identifier: MIT
"""PASETO v2.public taken apart and put together by hand (spec 1.8): nothing here comes from Strata."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

HEADER = b"v2.public."


def message(token: str) -> dict[str, Any]:
    """The claims that stand in a token, whoever signed it."""
    found = json.loads(raw(token)[:-64])
    assert isinstance(found, dict)
    return found


def signed_by(token: str, public: bytes) -> bool:
    """Whether the signature is this key's, over PAE(header, message, empty footer)."""
    body = raw(token)
    try:
        VerifyKey(public).verify(_pae(HEADER, body[:-64], b""), body[-64:])
    except BadSignatureError:
        return False
    return True


def forged(claims: Mapping[str, Any], key: SigningKey) -> str:
    """A token with these claims, signed with this key."""
    text = json.dumps(claims).encode()
    return wrapped(text + key.sign(_pae(HEADER, text, b"")).signature)


def raw(token: str) -> bytes:
    """Message and signature of a token."""
    assert token.startswith(HEADER.decode())
    text = token.removeprefix(HEADER.decode())
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def wrapped(body: bytes) -> str:
    """The token around a message and its signature."""
    return HEADER.decode() + base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def reference_claims(**more: Any) -> dict[str, Any]:
    """Claims as the reference writes them: no iss, no aud, nanoseconds and an offset in the times."""
    now = datetime.now(UTC)
    return {
        "jti": "0123456789abcdef" * 2,
        "sub": "capability",
        "iat": _time(now),
        "exp": _time(now + timedelta(hours=1)),
        "service": "fs",
        "actions": ["open", "read", "list"],
        "constraints": {},
    } | more


def key_of(identity_state: Path) -> SigningKey:
    """The key with which an identity service signs v2 tokens now, out of its state directory."""
    keys = json.loads((identity_state / "keys.json").read_text())["keys"]
    seed = next(key["seed"] for key in keys if key["version"] == "v2.public" and "seed" in key)
    return SigningKey(base64.b64decode(seed))


def _time(moment: datetime) -> str:
    local = moment + timedelta(hours=2)
    return f"{local:%Y-%m-%dT%H:%M:%S}.419963325+02:00"


def _pae(*pieces: bytes) -> bytes:
    return struct.pack("<Q", len(pieces)) + b"".join(struct.pack("<Q", len(piece)) + piece for piece in pieces)
