# SPDX-License-Identifier: MIT
"""What the kernel's refusals mean to a caller (spec 1.5, 1.7; the messages of the reference where it has one)."""

from __future__ import annotations

import errno
import os

from strata.errors import (
    Conflict,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    StrataError,
    Unavailable,
)
from strata.fs.prefix import Place

_KINDS: dict[int, tuple[type[StrataError], str]] = {
    errno.ENOTDIR: (InvalidArgument, "a part of the path is not a directory"),
    errno.EISDIR: (InvalidArgument, "it is a directory"),
    errno.ENAMETOOLONG: (InvalidArgument, "a name in it, or the whole path, is too long"),
    errno.EFBIG: (InvalidArgument, "the file would become too large"),
    errno.ELOOP: (PermissionDenied, "too many symbolic links, or one that only the kernel can follow"),
    errno.EACCES: (PermissionDenied, "permission denied"),
    errno.EPERM: (PermissionDenied, "operation not permitted"),
    errno.EROFS: (PermissionDenied, "its file system is read-only, or the service may not write there"),
    errno.EMFILE: (ResourceExhausted, "the service has no descriptors left; close handles"),
    errno.ENFILE: (ResourceExhausted, "the machine has no descriptors left"),
    errno.ENOMEM: (ResourceExhausted, "no memory left"),
    errno.ENOSPC: (ResourceExhausted, "no space left on the device"),
    errno.EDQUOT: (ResourceExhausted, "the disk quota is used up"),
    errno.ETXTBSY: (Conflict, "the program is running"),
    errno.EBUSY: (Conflict, "it is in use"),
    errno.EEXIST: (Conflict, "it is a link that leads nowhere, or keeps appearing and vanishing"),
    errno.EAGAIN: (Unavailable, "the directories above it keep changing; try again"),
    errno.ENOSYS: (Internal, "this kernel, or the service's system call filter, has no openat2(2) (Linux 5.6)"),
}


def refusal(error: OSError, verb: str, place: Place, noun: str = "file") -> StrataError:
    """The typed error for a failed system call; `verb` and `noun` fill its sentence."""
    number = error.errno or 0
    if number == errno.ENOENT:
        return NotFound(f"{noun} not found", path=place.path)
    if number == errno.EXDEV:
        return PermissionDenied(f"path {place.path} outside allowed prefix {place.prefix}", path=place.path)
    kind, reason = _KINDS.get(number, (Internal, os.strerror(number)))
    return kind(f"cannot {verb} {place.path}: {reason}", path=place.path)
