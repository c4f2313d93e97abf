# SPDX-License-Identifier: MIT
"""Signing: the only place that holds a private key.

libsodium signs, in half of pyseto's time; before a key signs for anyone, pyseto, which shares no code with it, has to
agree with what it signed. So a broken library or a key whose halves do not belong together is found at the start.
"""

from __future__ import annotations

import base64

import pyseto
from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_seed_keypair

from strata.errors import Internal
from strata.policy.token import PublicKey, pre_auth

SEED = 32
"""Bytes of an Ed25519 seed."""

_PROBE = b'{"probe":"strata"}'


class Signer:
    """One Ed25519 key for one token version."""

    __slots__ = ("_header", "_secret", "public")

    def __init__(self, version: str, seed: bytes) -> None:
        """`version` is `v2.public` or `v4.public`. Raises ValueError for a seed that is not 32 bytes."""
        if len(seed) != SEED:
            raise ValueError(f"a seed has {SEED} bytes, not {len(seed)}")
        public, self._secret = crypto_sign_seed_keypair(seed)
        self._header = f"{version}."
        self.public = PublicKey(version, public)
        _agree(self.sign(_PROBE), pyseto.Key.from_asymmetric_key_params(int(version[1]), x=public))

    def sign(self, message: bytes) -> str:
        """The token: header, message and signature; footer and implicit assertion are empty (PASETO, "Sign")."""
        signature = crypto_sign(pre_auth(self.public.version, message), self._secret)[:crypto_sign_BYTES]
        body = base64.urlsafe_b64encode(message + signature)
        return self._header + body.rstrip(b"=").decode("ascii")


def _agree(token: str, key: pyseto.KeyInterface) -> None:
    try:
        payload = pyseto.decode(key, token).payload
    except pyseto.PysetoError as error:
        raise Internal(
            f"cannot sign: two libraries disagree on a signature ({error}); repair the installation"
        ) from error
    if payload != _PROBE:
        raise Internal("cannot sign: two libraries disagree on what was signed; repair the installation")
