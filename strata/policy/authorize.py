# SPDX-License-Identifier: MIT
"""May this capability do this? The steps and messages of spec 1.9, with the decisions of 1.15.

The path is judged here by its text alone; that symbolic links do not lead out again is openat2's work in fs.
"""

from __future__ import annotations

import posixpath

from strata.errors import InvalidArgument, PermissionDenied, Unauthenticated
from strata.policy.capability import Claims, Constraints, beneath, clean_prefix
from strata.policy.ratelimit import Buckets


def authorize(
    claims: Claims | None, method: str, path: str | None = None, *, buckets: Buckets, strict: bool = False
) -> str:
    """Raise the first refusal of spec 1.9, else charge the rate limit and return the path below the prefix.

    The returned path is relative, cleaned and never empty when `path` was given (`.` is the prefix itself), else "".
    `strict` refuses absolute paths even inside the prefix.
    """
    if claims is None:
        raise Unauthenticated("token required")
    permit(claims, method)
    relative = "" if path is None else _below(claims.constraints.path_prefix, path, strict)
    buckets.charge(claims)
    return relative


def permit(claims: Claims, method: str) -> None:
    """Whether the capability names the method. Raises PermissionDenied. Nothing is charged."""
    service, dot, action = method.partition(".")
    if not dot:
        raise PermissionDenied(f'invalid method format: "{method}"')
    if claims.service != service:
        raise PermissionDenied(f'token not valid for service "{service}"', cap_id=claims.jti)
    if method not in claims.rights and action not in claims.actions:
        raise PermissionDenied(f'method "{method}" not permitted', cap_id=claims.jti)


def opening(constraints: Constraints) -> tuple[str, str]:
    """How to open the prefix: a root to open as it is, then the rest below it, where no symbolic link may be.

    For a capability that nobody attenuated the rest is `.`. Raises PermissionDenied when there is no usable prefix.
    """
    prefix = _usable(constraints.path_prefix)
    root = _usable(constraints.path_root or prefix)
    if not beneath(prefix, root):
        raise PermissionDenied(f"path {prefix} outside allowed prefix {root}")
    return root, _rest(prefix, root)


def _below(prefix: str, path: str, strict: bool) -> str:
    if not path:
        raise InvalidArgument("missing path param", param="path")
    if "\0" in path:
        raise InvalidArgument("cannot use the path: it contains a NUL byte", param="path")
    prefix = _usable(prefix)
    if path.startswith("/") and strict:
        raise PermissionDenied("absolute paths not allowed; use relative paths under path_prefix")
    if ".." in path.split("/"):
        raise PermissionDenied("path traversal not allowed")
    cleaned = posixpath.normpath(posixpath.join(prefix, path))
    cleaned = "/" + cleaned.lstrip("/")
    if not beneath(cleaned, prefix):
        raise PermissionDenied(f"path {path[:256]} outside allowed prefix {prefix}")
    return _rest(cleaned, prefix)


def _rest(path: str, prefix: str) -> str:
    return path[len(prefix) :].lstrip("/") or "."


def _usable(prefix: str) -> str:
    """The prefix, cleaned. Deny by default: without one no path is allowed; `/` allows them all (spec 1.15)."""
    if not prefix:
        raise PermissionDenied("path not allowed: the capability has no path_prefix; issue one that has")
    try:
        return clean_prefix(prefix)
    except InvalidArgument as error:
        raise PermissionDenied(error.message) from error
