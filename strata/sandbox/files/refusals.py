# SPDX-License-Identifier: MIT
"""What the kernel's refusals mean to one who works on a session's files."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

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

_KINDS: dict[int, tuple[type[StrataError], str]] = {
    errno.ENOENT: (NotFound, "it is not there"),
    errno.ENOTDIR: (InvalidArgument, "a part of the path is not a directory"),
    errno.EISDIR: (Conflict, "it is a directory"),
    errno.EINVAL: (InvalidArgument, "the file system refuses the name or the operation"),
    errno.ENAMETOOLONG: (InvalidArgument, "a name in it, or the whole path, is too long"),
    errno.EFBIG: (InvalidArgument, "the file would become too large"),
    errno.ELOOP: (PermissionDenied, "too many symbolic links, or one that only the kernel can follow"),
    errno.EACCES: (PermissionDenied, "permission denied"),
    errno.EPERM: (PermissionDenied, "operation not permitted"),
    errno.EROFS: (PermissionDenied, "it lies on a read-only part of the sandbox"),
    errno.ENXIO: (PermissionDenied, "it is neither a file nor a directory"),
    errno.EMFILE: (ResourceExhausted, "no descriptors left"),
    errno.ENFILE: (ResourceExhausted, "the machine has no descriptors left"),
    errno.ENOMEM: (ResourceExhausted, "no memory left"),
    errno.ENOSPC: (ResourceExhausted, "the session's disk is full, or has no inodes left; remove something"),
    errno.EDQUOT: (ResourceExhausted, "the disk quota is used up; remove something"),
    errno.EMLINK: (ResourceExhausted, "it would have too many links"),
    errno.ETXTBSY: (Conflict, "the program is running"),
    errno.EBUSY: (Conflict, "it is in use, or something is mounted there"),
    errno.EEXIST: (Conflict, "it is there already"),
    errno.ENOTEMPTY: (Conflict, "the directory is not empty"),
    errno.EAGAIN: (Unavailable, "the directories above it keep changing; try again"),
    errno.ENOSYS: (Internal, "this kernel has no openat2(2) (Linux 5.6)"),
}


Reasons = dict[int, tuple[type[StrataError], str]]


def refusal(error: OSError, doing: str, reasons: Reasons | None = None) -> StrataError:
    """The typed error for a failed system call; `doing` fills its sentence: `put /root/x`. `reasons` go first."""
    number = error.errno or 0
    kind, reason = (reasons or {}).get(number) or _KINDS.get(number, (Internal, os.strerror(number)))
    return kind(f"cannot {doing}: {reason}", errno=errno.errorcode.get(number, str(number)))


@contextlib.contextmanager
def telling(doing: str, reasons: Reasons | None = None) -> Iterator[None]:
    """Turn an OSError of the block into what it means to the caller; but that nobody reads on is no failure here."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise refusal(error, doing, reasons) from error
