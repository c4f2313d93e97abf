# SPDX-License-Identifier: MIT
"""Reading the upper layer of an overlay: what an entry in it says about the layers below.

Documentation/filesystems/overlayfs.rst ("whiteouts and opaque directories", "user xattr") for the kernel's, which we
mount without redirect_dir and metacopy, so that a layer holds all that it means. fuse-overlayfs(1) writes the same, its
own attributes, or files called `.wh.NAME` where it may not do else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

from strata.sandbox.files import places

DOTS: Final = b".wh."
OPAQUE_DOTS: Final = b".wh..wh..opq"
_NO_SUCH: Final = (errno.ENODATA, errno.EOPNOTSUPP)


class Marks(NamedTuple):
    """How a driver writes: the prefixes of its extended attributes, whether names may be whiteouts, and the attributes
    by which every driver here knows an opaque directory."""

    prefixes: tuple[str, ...]
    opaque: tuple[str, ...]
    dots: bool = False


_FUSE: Final = "user.fuseoverlayfs."
_TRUSTED: Final = ("trusted.overlay.opaque", f"{_FUSE}opaque")
_USERS: Final = ("user.overlay.opaque", f"{_FUSE}opaque")
MARKS: Final[dict[str, Marks]] = {
    "kernel": Marks(("trusted.overlay.",), _TRUSTED),
    "kernel-user": Marks(("user.overlay.",), _USERS),  # mounted with userxattr, as who is not root must
    "fuse": Marks((_FUSE, "trusted.overlay.", "user.overlay."), _TRUSTED, dots=True),
    "fuse-user": Marks((_FUSE, "user.overlay."), _USERS, dots=True),
}


def hidden_name(name: bytes, marks: Marks) -> bytes | None:
    """The name that an entry called `.wh.NAME` takes away; empty for the mark of an opaque directory."""
    if not marks.dots or not name.startswith(DOTS):
        return None
    return b"" if name == OPAQUE_DOTS else name[len(DOTS) :]


class Node(Protocol):
    """What tells whether an entry may be a whiteout."""

    @property
    def mode(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def device(self) -> int: ...


def is_whiteout(directory: int, name: bytes, found: Node, marks: Marks) -> bool:
    """Whether an entry of the upper layer says that what is below it is gone."""
    if stat.S_ISCHR(found.mode):
        return found.device == 0
    if not stat.S_ISREG(found.mode) or found.size:
        return False
    return _file_attribute(directory, name, "whiteout", marks) is not None


def is_opaque(fd: int, marks: Marks) -> bool:
    """Whether an open directory of the upper layer hides all that is below it."""
    if attribute(fd, "opaque", marks) == b"y":  # `x` only says that there are whiteouts in it
        return True
    return marks.dots and _exists(fd, OPAQUE_DOTS)


def attribute(fd: int, name: str, marks: Marks) -> bytes | None:
    """An attribute of the overlay's own, under whichever prefix it is."""
    for prefix in marks.prefixes:
        try:
            return os.getxattr(fd, prefix + name)
        except OSError as error:
            if error.errno not in _NO_SUCH:
                raise
    return None


def attributes(fd: int) -> dict[str, bytes]:
    """All extended attributes of an open file that belong to its owner: `user.*` but the overlay's own, and ACLs."""
    return {name: os.getxattr(fd, name) for name in _names(fd) if _is_owners(name)}


def _names(fd: int) -> list[str]:
    try:
        return os.listxattr(fd)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return []
        raise


def _is_owners(name: str) -> bool:
    if name.startswith(("user.overlay.", "user.fuseoverlayfs.")):
        return False
    return name.startswith(("user.", "system.posix_acl_"))


def _file_attribute(directory: int, name: bytes, attribute_name: str, marks: Marks) -> bytes | None:
    with reading(directory, name) as fd:
        return attribute(fd, attribute_name, marks)


@contextlib.contextmanager
def reading(directory: int, name: bytes) -> Iterator[int]:
    """A regular file, open for reading. Raises OSError ENXIO when it is something else by now."""
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=directory)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO), places.shown(name))
        yield fd
    finally:
        os.close(fd)


def _exists(directory: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
