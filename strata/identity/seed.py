# SPDX-License-Identifier: MIT
"""A seed from outside, which systemd hands over as a credential (LoadCredential=, systemd.exec(5))."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

from strata.errors import InvalidArgument
from strata.identity.signer import SEED

CREDENTIAL = "identity.key"


def handed_over(directory: str, source: str = "") -> bytes | None:
    """The seed in the credential `identity.key` (systemd.exec(5)): 32 bytes, raw, in hexadecimal digits or in base64.

    None without one, which is wrong when there is a `source`, the file that systemd was to read it from: it must be
    there, and closed to others. Raises InvalidArgument when it cannot be used.
    """
    _check_closed(source)
    file = Path(directory) / CREDENTIAL
    if not directory or not file.exists():
        if source:
            raise InvalidArgument(f"cannot start: identity.key_file is {source}, and systemd handed over no credential")
        return None
    try:
        seed = _seed(file.read_bytes())
    except OSError as error:
        raise InvalidArgument(f"cannot read the credential {file}: {error.strerror}") from error
    if len(seed) != SEED:
        raise InvalidArgument(
            f"cannot use {source or f'the credential {file}'}: it must hold a seed of {SEED} bytes, raw, as {2 * SEED} "
            "hexadecimal digits or as 44 characters of base64"
        )
    return seed


def _seed(raw: bytes) -> bytes:
    """What the text stands for; nothing for what is no seed in any of the three forms."""
    text = raw.strip()
    if len(raw) == SEED:
        return raw
    try:
        return bytes.fromhex(text.decode("ascii")) if len(text) == 2 * SEED else base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def _check_closed(source: str) -> None:
    """Raises InvalidArgument for a file that others may read or change. One that cannot be seen from here is closed."""
    try:
        mode = os.stat(source).st_mode if source else 0
    except OSError:
        return
    if stat.S_ISREG(mode) and mode & 0o027:
        raise InvalidArgument(
            f"cannot use {source}: its mode is {stat.S_IMODE(mode):04o}, so that others may read or change it; "
            f"`chmod 600 {source}`, and write a new seed into it if it was open for long"
        )
