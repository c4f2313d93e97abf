# SPDX-License-Identifier: MIT
"""What systemd refuses, as one of the eight errors."""

from __future__ import annotations

import os

from strata.errors import Conflict, Internal, NotFound, PermissionDenied, StrataError, Unavailable

_KIND_OF = (
    ("NoSuchUnit", NotFound),
    ("UnitExists", Conflict),
    ("AccessDenied", PermissionDenied),
    ("NoReply", Unavailable),
    ("Disconnected", Unavailable),
    ("Timeout", Unavailable),
)


def translated(error: Exception, doing: str, about: str) -> StrataError:
    """The error for what systemd, or the connection to it, said no to; `about` is a unit or a property's path."""
    words = f"{type(error).__name__} {getattr(error, 'err_name', '')} {reason(error)}"
    kind = next((kind for word, kind in _KIND_OF if word in words), Internal)
    if "not loaded" in words:
        kind = NotFound
    if "Connection" in words or "Broken pipe" in words or "end-of-file" in words:
        kind = Unavailable
    return kind(f"cannot {doing} {about}: {reason(error)}", unit=about)


def reason(error: Exception) -> str:
    """systemd's own words, else those of its error number."""
    message = getattr(error, "err_message", "") or str(error)
    text = message.decode("utf-8", "replace") if isinstance(message, bytes) else message
    return text or os.strerror(abs(getattr(error, "errno", 0) or 0))
