# SPDX-License-Identifier: MIT
"""The eight errors of the wire protocol (spec 1.5), one class each, so that a raise names its kind."""

from __future__ import annotations

from typing import Any, ClassVar


class StrataError(Exception):
    """Base of the eight. `message` is one sentence for a person, `details` plain JSON values for a program."""

    code: ClassVar[int] = 5
    name: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class InvalidArgument(StrataError):
    """Malformed or missing parameter."""

    code = 1
    name = "INVALID_ARGUMENT"


class Unauthenticated(StrataError):
    """Token missing, malformed, expired, or signed by nobody we know."""

    code = 2
    name = "UNAUTHENTICATED"


class PermissionDenied(StrataError):
    """The caller is known but may not do this."""

    code = 3
    name = "PERMISSION_DENIED"


class NotFound(StrataError):
    """The named thing does not exist."""

    code = 4
    name = "NOT_FOUND"


class Internal(StrataError):
    """Our own fault, or the machine's."""

    code = 5
    name = "INTERNAL"


class Unavailable(StrataError):
    """Something this call depends on is not there right now."""

    code = 6
    name = "UNAVAILABLE"


class ResourceExhausted(StrataError):
    """A limit was reached: rate, size, count, disk."""

    code = 7
    name = "RESOURCE_EXHAUSTED"


class Conflict(StrataError):
    """The thing is in a state that does not allow this."""

    code = 8
    name = "CONFLICT"


ERRORS: tuple[type[StrataError], ...] = (
    InvalidArgument,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    Internal,
    Unavailable,
    ResourceExhausted,
    Conflict,
)
UNREADABLE = (ValueError, RecursionError)
"""What json and msgspec raise for bytes that they cannot read. All of msgspec's errors are ValueErrors; what is no
UTF-8 is a UnicodeDecodeError, which is one too but none of msgspec's; brackets without end are a RecursionError."""

BY_CODE: dict[int, type[StrataError]] = {kind.code: kind for kind in ERRORS}
