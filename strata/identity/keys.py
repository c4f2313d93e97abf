# SPDX-License-Identifier: MIT
"""The keys that sign, and those that signed until lately and still verify.

One file, `keys.json`, holds them all, so that a rotation happens wholly or not at all. A key file that cannot be read
is never replaced by a new one: that would silently kill every token there is.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from strata import durable
from strata.errors import UNREADABLE, Conflict, InvalidArgument, ResourceExhausted
from strata.identity.signer import SEED, Signer
from strata.policy.token import FORMATS, PublicKey

FILE = "keys.json"
MOST_RETIRED = 16
"""Old keys within their overlap; a verifier tries each on a token that none has signed."""

log = logging.getLogger(__name__)


class _Key(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """`until` is 0 for a key that signs, else the end of its overlap (seconds since 1970); it then has no seed."""

    version: str
    public: bytes
    seed: bytes = b""
    until: float = 0.0


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: tuple[_Key, ...]


class KeyStore:
    """The keys of this node; `signers` has one for each token version."""

    def __init__(
        self, directory: Path, overlap: int, credential: bytes | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        """Open the store, making keys if there are none. `overlap` is in seconds.

        With a `credential` (strata.identity.seed) the keys are derived from it and no private key is ever written.
        Raises InvalidArgument, ResourceExhausted or Unavailable: then the service must not start.
        """
        self._file, self._overlap, self._credential, self._clock = directory / FILE, overlap, credential, clock
        self._keys = self._load()
        seeds = {version: _derived(credential, version) for version in FORMATS} if credential else {}
        if not self._keys or (seeds and not self._signs_with(seeds)):
            self._turn_over(seeds or _new_seeds(), overlap)
            log.warning("made signing keys: %s", ", ".join(key.id for key in self.current()))
        else:
            self.signers = self._signers(seeds)

    def current(self) -> tuple[PublicKey, ...]:
        """The public keys of the signers."""
        return tuple(signer.public for signer in self.signers.values())

    def verifying(self) -> tuple[PublicKey, ...]:
        """Every public key that verifies now: the current ones first, then those within their overlap."""
        now = self._clock()
        return self.current() + tuple(PublicKey(key.version, key.public) for key in self._keys if key.until > now)

    def rotate(self, overlap: int | None = None) -> None:
        """New signing keys; the old ones verify for `overlap` more seconds (0: not at all, for a key that leaked).

        Raises Conflict when the key comes from a credential, ResourceExhausted; then nothing has changed.
        """
        if self._credential:
            raise Conflict(
                "cannot rotate: the keys come from a credential, the file that identity.key_file names; write a new "
                "seed into it, then `strata-ctl restart identity`; the old keys verify for their overlap"
            )
        self._turn_over(_new_seeds(), self._overlap if overlap is None else overlap)

    def _turn_over(self, seeds: dict[str, bytes], overlap: int) -> None:
        signers = {version: Signer(version, seed) for version, seed in seeds.items()}
        now = self._clock()
        new = tuple(
            _Key(version, signer.public.raw, b"" if self._credential else seeds[version])
            for version, signer in signers.items()
        )
        fresh = {key.public for key in new}
        old = (
            _Key(key.version, key.public, until=min(key.until or now + overlap, now + overlap)) for key in self._keys
        )
        retired = tuple(key for key in old if key.until > now and key.public not in fresh)
        if len(retired) > MOST_RETIRED:
            raise ResourceExhausted(
                f"cannot rotate: {MOST_RETIRED} old keys still verify; wait, or drop them with overlap_seconds 0"
            )
        with durable.told(f"save {self._file}"):
            durable.replace(self._file, msgspec.json.encode(_File(new + retired)))
        self._keys, self.signers = new + retired, signers

    def _load(self) -> tuple[_Key, ...]:
        try:
            with open(self._file, "rb") as file:
                if os.fstat(file.fileno()).st_mode & 0o077:
                    raise InvalidArgument(f"cannot use {self._file}: others may read it; chmod 600 it, then rotate")
                keys = msgspec.json.decode(file.read(), type=_File).keys
        except FileNotFoundError:
            return ()
        except (OSError, *UNREADABLE) as error:
            raise InvalidArgument(f"cannot read {self._file}: {error}; {_MEND}") from error
        if sorted(key.version for key in keys if not key.until) != sorted(FORMATS):
            raise InvalidArgument(
                f"cannot use {self._file}: it must hold one current key for each of {FORMATS}; {_MEND}"
            )
        return keys

    def _signs_with(self, seeds: dict[str, bytes]) -> bool:
        current = {key.version: key.public for key in self._keys if not key.until}
        return all(Signer(version, seed).public.raw == current[version] for version, seed in seeds.items())

    def _signers(self, seeds: dict[str, bytes]) -> dict[str, Signer]:
        signers = {}
        for key in sorted((key for key in self._keys if not key.until), key=lambda key: key.version):
            seed = seeds.get(key.version, key.seed)
            if not seed:
                raise InvalidArgument(
                    f"cannot use {self._file}: its keys came from a credential, which is not given now; name its file "
                    "with identity.key_file, or remove the whole state directory to begin anew (every token then ends)"
                )
            if len(seed) != SEED or (signer := Signer(key.version, seed)).public.raw != key.public:
                raise InvalidArgument(f"cannot use {self._file}: a private key does not fit its public key; {_MEND}")
            signers[key.version] = signer
        return signers


_MEND = "restore it from a backup, or remove the whole state directory to begin anew (every token then ends)"


def _derived(credential: bytes, version: str) -> bytes:
    # One secret, two keys: each version has its own, so that a v2 signature can never pass for a v4 one.
    return hashlib.blake2b(key=credential, digest_size=SEED, person=f"strata.{version}".encode()).digest()


def _new_seeds() -> dict[str, bytes]:
    return {version: os.urandom(SEED) for version in FORMATS}
