# SPDX-License-Identifier: MIT
"""What a capability says: its claims, how they are written in a token (spec 1.8), and how they are read back.

Times are whole nanoseconds since 1970 (UTC), so that nothing is rounded between signing and judging.
"""

from __future__ import annotations

import functools
import json
import posixpath
import re
import time
from datetime import UTC, datetime
from typing import Any

import msgspec

from strata.errors import InvalidArgument

SECOND = 1_000_000_000
"""Nanoseconds."""
SUBJECT = "capability"
AUDIENCE = "strata"
MOST_PARENTS = 16
LONGEST_ID = 128
EVERYBODY = "*"
"""An owner that stands for all."""

LONGEST_PATH = 4096  # PATH_MAX, limits.h

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_SECONDS = "{:04d}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}"  # strftime does not pad years before 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Constraints(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Limits on what the capability reaches. A constraint that we do not know is refused, never ignored.

    `path_prefix` is absolute. `path_root` is the prefix of the outermost ancestor, when there is one and it differs:
    below it no symbolic link may lie in the prefix, or a holder could place one there and attenuate his way out.
    `shared_limits` are `[cap_id, rate]` of the limited ancestors: a child draws on their allowance too, or a holder
    would multiply it by attenuating.
    """

    path_prefix: str = ""
    rate_limit: str = ""
    path_root: str = ""
    shared_limits: tuple[tuple[str, str], ...] = ()


class Claims(msgspec.Struct, frozen=True):
    """A capability, as verified. `jti` is its cap_id; `parents` are the cap_ids of its ancestors, outermost first."""

    jti: str
    iat: int
    exp: int
    service: str
    actions: tuple[str, ...] = ()
    rights: tuple[str, ...] = ()
    constraints: Constraints = Constraints()
    iss: str = ""
    aud: str = ""
    parents: tuple[str, ...] = ()
    owner: str = ""
    nbf: int = 0
    sub: str = SUBJECT

    @property
    def family(self) -> str:
        """cap_id of the outermost ancestor, its own if it has none. Shares are counted by it where attenuating, which
        any holder may do as often as he likes, would otherwise multiply them."""
        return self.parents[0] if self.parents else self.jti


class _Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """The JSON of a token; the order of the fields is the reference's, ours follow behind."""

    jti: str
    sub: str
    iat: str
    exp: str
    service: str
    # These two are always written, `null` and `{}` if empty (spec 1.8); UNSET is what omit_defaults would leave out.
    actions: tuple[str, ...] | None | msgspec.UnsetType = msgspec.UNSET
    rights: tuple[str, ...] = ()
    constraints: Constraints | msgspec.UnsetType = msgspec.UNSET
    iss: str = ""
    aud: str = ""
    parents: tuple[str, ...] = ()
    owner: str = ""
    nbf: str = ""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Message)


def wire(claims: Claims) -> Any:
    """The claims as they stand in a token's JSON; msgspec encodes it."""
    return _Message(
        claims.jti,
        claims.sub,
        time_text(claims.iat),
        time_text(claims.exp),
        claims.service,
        claims.actions or None,
        claims.rights,
        claims.constraints,
        claims.iss,
        claims.aud,
        claims.parents,
        claims.owner,
        time_text(claims.nbf) if claims.nbf else "",
    )


def encode(claims: Claims) -> bytes:
    """The message of a token."""
    return _encoder.encode(wire(claims))


def decode(message: bytes) -> Claims:
    """Claims of a token's message, read strictly. Raises InvalidArgument with the reason."""
    try:
        said = _decoder.decode(message)
        json.loads(message, object_pairs_hook=_unique)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InvalidArgument(f"cannot read the claims: {error}") from error
    _check(said)
    return Claims(
        said.jti,
        time_of(said.iat),
        time_of(said.exp),
        said.service,
        said.actions or (),
        said.rights,
        said.constraints or Constraints(),
        said.iss,
        said.aud,
        said.parents,
        said.owner,
        time_of(said.nbf) if said.nbf else 0,
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # A key that occurs twice means one thing to one parser and another to the next.
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _check(said: _Message) -> None:
    if said.sub != SUBJECT:
        raise InvalidArgument(f'cannot read the claims: sub must be "{SUBJECT}"')
    if not 0 < len(said.jti) <= LONGEST_ID or not said.service:
        raise InvalidArgument("cannot read the claims: jti and service must not be empty, nor jti long")
    if len(said.parents) > MOST_PARENTS:
        raise InvalidArgument(f"cannot read the claims: more than {MOST_PARENTS} parents")


def time_text(moment: int) -> str:
    """RFC 3339 in UTC with as many of nine fractional digits as are needed."""
    seconds, fraction = divmod(moment, SECOND)
    text = _seconds_text(seconds)
    return f"{text}.{fraction:09d}".rstrip("0") + "Z" if fraction else f"{text}Z"


@functools.lru_cache(maxsize=64)  # the tokens of one second share theirs
def _seconds_text(seconds: int) -> str:
    return _SECONDS.format(*time.gmtime(seconds)[:6])


def time_of(text: str) -> int:
    """Nanoseconds of an RFC 3339 date-time with any offset. Raises InvalidArgument."""
    found = _TIME.fullmatch(text)
    try:
        if not found:
            raise ValueError("not of that form")
        offset = "+00:00" if found[3] == "Z" else found[3]
        # In UTC, or an offset leads to a year that cannot be written down again.
        since = datetime.fromisoformat(found[1] + offset).astimezone(UTC) - _EPOCH
    except (ValueError, OverflowError) as error:
        raise InvalidArgument(f"cannot read the time {text[:64]!r}: expected RFC 3339") from error
    return (since.days * 86_400 + since.seconds) * SECOND + int((found[2] or "0").ljust(9, "0"))


def clean_prefix(text: str) -> str:
    """A path prefix without doubled or trailing slashes and `.` components.

    Raises InvalidArgument unless it is an absolute path without `..` components and NUL.
    """
    if not text.startswith("/") or "\0" in text or ".." in text.split("/") or len(text) > LONGEST_PATH:
        raise InvalidArgument(
            f"cannot use path_prefix {text[:256]!r}: it must be an absolute path without '..' and NUL",
            param="path_prefix",
        )
    return posixpath.normpath("/" + text.lstrip("/"))  # normpath keeps a leading `//`


def owner_name(text: str) -> str:
    """Whose sessions a capability is for: an owner's id, EVERYBODY, or "" for nobody's. Raises InvalidArgument."""
    if text and text != EVERYBODY and not _OWNER.fullmatch(text):
        raise InvalidArgument(
            f"cannot use owner {text[:80]!r}: it must be 1 to 64 of A-Z a-z 0-9 . _ - "
            f"and start with a letter or digit, or be {EVERYBODY} for all owners",
            param="owner",
        )
    return text


def beneath(path: str, prefix: str) -> bool:
    """Whether the cleaned `path` is the cleaned `prefix` or lies below it; /tmpevil is not below /tmp."""
    return path == prefix or path.startswith(prefix.rstrip("/") + "/")
