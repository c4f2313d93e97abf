# SPDX-License-Identifier: MIT
"""Signing, by pyseto: the only place that holds a private key."""

from __future__ import annotations

import base64

import pyseto

from strata.policy.token import PublicKey

SEED = 32
"""Bytes of an Ed25519 seed."""


class Signer:
    """One Ed25519 key for one token version."""

    __slots__ = ("_header", "_key", "public")

    def __init__(self, version: str, seed: bytes) -> None:
        """`version` is `v2.public` or `v4.public`. Raises ValueError for a seed that is not 32 bytes."""
        if len(seed) != SEED:
            raise ValueError(f"a seed has {SEED} bytes, not {len(seed)}")
        self._key = pyseto.Key.from_asymmetric_key_params(int(version[1]), d=seed)
        self._header = f"{version}."
        # PASERK secret: seed, then public key (paserk types/secret.md).
        both = base64.urlsafe_b64decode(self._key.to_paserk().rpartition(".")[2] + "==")
        self.public = PublicKey(version, both[SEED:])

    def sign(self, message: bytes) -> str:
        """The token: header, message and signature; footer and implicit assertion are empty (PASETO, "Encoding").

        The key's own `sign` is all of pyseto.encode that a public token without a footer needs.
        """
        body = base64.urlsafe_b64encode(message + self._key.sign(message))
        return self._header + body.rstrip(b"=").decode("ascii")
