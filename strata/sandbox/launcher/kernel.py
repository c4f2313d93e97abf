# SPDX-License-Identifier: MIT
"""System calls that Python 3.11 has no name for, as functions that raise OSError saying what could not be done.

Loaded by the launcher once and used in its forks, so there is nothing here but ctypes. Paths are str or bytes.
Numbers of calls since Linux 5.1 are the same on every architecture (syscalls(2)).
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from typing import Final

Path = str | bytes

# clone(2) and setns(2), linux/sched.h
NEWNS: Final = 0x00020000
NEWCGROUP: Final = 0x02000000
NEWUTS: Final = 0x04000000
NEWIPC: Final = 0x08000000
NEWUSER: Final = 0x10000000
NEWPID: Final = 0x20000000
NEWNET: Final = 0x40000000

# mount(2), linux/mount.h
MS_RDONLY: Final = 0x1
MS_NOSUID: Final = 0x2
MS_NODEV: Final = 0x4
MS_NOEXEC: Final = 0x8
MS_REMOUNT: Final = 0x20
MS_NOATIME: Final = 0x400
MS_BIND: Final = 0x1000
MS_REC: Final = 0x4000
MS_PRIVATE: Final = 0x40000
MS_SLAVE: Final = 0x80000
MNT_DETACH: Final = 2

# mount_setattr(2)
ATTR_RDONLY: Final = 0x1
ATTR_NOSUID: Final = 0x2
ATTR_NODEV: Final = 0x4
ATTR_NOEXEC: Final = 0x8
ATTR_NOATIME: Final = 0x10
_ATTR_IDMAP: Final = 0x00100000


_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_OPEN_TREE_CLONE: Final = 1
_MOVE_MOUNT_F_EMPTY_PATH: Final = 4
_AT_FDCWD: Final = -100
_AT_EMPTY_PATH: Final = 0x1000
_AT_RECURSIVE: Final = 0x8000
_AT_STATX_DONT_SYNC: Final = 0x4000
_STATX_TYPE: Final = 1
_STATX_MODE: Final = struct.Struct("=28xH")  # linux/stat.h
_MOUNT_ATTR: Final = struct.Struct("=QQQQ")

# prctl(2), linux/prctl.h
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NAME: Final = 15
_PR_SET_SECCOMP: Final = 22
_PR_CAPBSET_DROP: Final = 24
_PR_SET_SECUREBITS: Final = 28
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_SECCOMP_MODE_FILTER: Final = 2
# NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE, each with its lock (capabilities(7)); KEEP_CAPS only locked
_SECUREBITS_ALL_LOCKED: Final = 0xEF

_SECBIT_NO_SETUID_FIXUP: Final = 0x4

_CAPABILITY_VERSION_3: Final = 0x20080522
_EINVAL: Final = 22
_CLOSE_RANGE: Final = 436
_FILTER_BYTES: Final = 8  # struct sock_filter, linux/filter.h
_FILTER_MAX: Final = 4096  # BPF_MAXINSNS

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_mount = _libc.mount
_mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_umount2 = _libc.umount2
_umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_statx = _libc.statx
_statx.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)
_prctl = _libc.prctl
_prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
_capset = _libc.capset
_capset.argtypes = (ctypes.c_char_p, ctypes.c_char_p)


# --- namespaces


def unshare(flags: int) -> None:
    """Leave the namespaces in `flags` for new ones; NEWPID counts for children only (unshare(2))."""
    _check(_libc.unshare(flags), "make new namespaces")


def setns(fd: int, flags: int) -> None:
    """Enter the namespaces in `flags` of the process a pidfd names, or the one that a namespace fd is (setns(2))."""
    _check(_libc.setns(fd, flags), "enter namespaces")


def pidfd_open(pid: int) -> int:
    """A close-on-exec descriptor of a process (pidfd_open(2))."""
    return os.pidfd_open(pid)


# --- mounts


def mount(source: Path, target: Path, kind: str = "", flags: int = 0, options: str | bytes = "") -> None:
    """mount(2). The error names the target, the step that a person wants to know."""
    data = os.fsencode(options) or None
    answer = _mount(os.fsencode(source) or None, os.fsencode(target), kind.encode() or None, flags, data)
    _check(answer, f"mount {kind or os.fsdecode(source)} on {os.fsdecode(target)}")


def umount2(target: Path, flags: int = 0) -> None:
    """umount2(2): MNT_DETACH takes it out of the tree now, and the kernel lets go when its last user does."""
    _check(_umount2(os.fsencode(target), flags), f"unmount {os.fsdecode(target)}")


def make_private() -> None:
    """Let no mount made from here on be seen elsewhere, nor the other way round (mount_namespaces(7))."""
    mount("", "/", flags=MS_REC | MS_PRIVATE)


def open_tree(path: Path, recursive: bool = False, clone: bool = True) -> int:
    """A descriptor of a detached copy of the mount at `path`, with those below it if `recursive` (open_tree(2)).

    Without `clone` it is the mount itself. It is closed on exec; a detached copy is gone with its last descriptor.
    """
    flags = os.O_CLOEXEC | (_OPEN_TREE_CLONE if clone else 0) | (_AT_RECURSIVE if recursive else 0)
    fd: int = _syscall(_OPEN_TREE, _AT_FDCWD, os.fsencode(path), flags)
    _check(min(fd, 0), f"copy the mount at {os.fsdecode(path)}")
    return fd


def move_mount(fd: int, target: Path) -> None:
    """Attach a detached mount at `target` (move_mount(2)); the descriptor stays open and names it."""
    answer = _syscall(_MOVE_MOUNT, fd, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)
    _check(answer, f"attach a mount at {os.fsdecode(target)}")


def mount_setattr(fd: int, attributes: int, recursive: bool = False, clear: int = 0) -> None:
    """Give the mount that `fd` names ATTR_ flags, and take those in `clear` away (mount_setattr(2))."""
    _set_attributes(fd, _MOUNT_ATTR.pack(attributes, clear, 0, 0), recursive, "change a mount")


def idmap(fd: int, userns_fd: int, attributes: int = 0, recursive: bool = False) -> None:
    """Let a detached mount show its owners through a user namespace: id n on disk is what n means in there.

    Linux 5.12; each file system has to know of it (mount_setattr(2), "ID-mapped mounts"). Raises OSError EINVAL where
    one does not.
    """
    packed = _MOUNT_ATTR.pack(attributes | _ATTR_IDMAP, 0, 0, userns_fd)
    _set_attributes(fd, packed, recursive, "map the owners of a mount")


def _set_attributes(fd: int, packed: bytes, recursive: bool, what: str) -> None:
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    _check(_syscall(_MOUNT_SETATTR, fd, b"", flags, packed, ctypes.c_size_t(_MOUNT_ATTR.size)), what)


# --- the process itself


def set_name(name: str) -> None:
    """What ps and top call this process; 15 bytes are kept (PR_SET_NAME)."""
    buffer = ctypes.create_string_buffer(name.encode()[:15])
    _check(_prctl(_PR_SET_NAME, ctypes.addressof(buffer), 0, 0, 0), "name the process")


def set_dumpable(yes: bool) -> None:
    """Whether processes of the same user may trace this one and open its /proc files (PR_SET_DUMPABLE)."""
    _check(_prctl(_PR_SET_DUMPABLE, int(yes), 0, 0, 0), "set dumpable")


def set_no_new_privileges() -> None:
    """No exec from here on gives privileges: set-user-ID bits and file capabilities are void (PR_SET_NO_NEW_PRIVS)."""
    _check(_prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "set no_new_privs")


def act_as(uid: int, gid: int, keep: bool = True) -> None:
    """Own what is made from here on, and mount, as another user, with root's capabilities still (setfsuid(2)).

    `act_as(0, 0, False)` is the way back. Raises OSError for ids that this user namespace does not know.
    """
    keep_capabilities(keep)
    for change, number in ((_libc.setfsgid, gid), (_libc.setfsuid, uid)):
        change(ctypes.c_uint(number))
        if change(ctypes.c_uint(0xFFFF_FFFF)) & 0xFFFF_FFFF != number:  # the call itself never fails
            raise OSError(_EINVAL, f"cannot act as {number}: this user namespace does not know it")


def keep_capabilities(yes: bool) -> None:
    """Whether a change of ids leaves this process its capabilities (SECBIT_NO_SETUID_FIXUP, capabilities(7))."""
    bits = _SECBIT_NO_SETUID_FIXUP if yes else 0
    _check(_prctl(_PR_SET_SECUREBITS, bits, 0, 0, 0), "set the secure bits")


def drop_capabilities() -> None:
    """Give up every capability for good: bounding, ambient, inheritable, permitted and effective (capabilities(7)).

    Needs CAP_SETPCAP in the process's user namespace, which whoever has just entered one has.
    """
    # Lets a process of uid 0 gain nothing by an exec or a change of uid, which the empty bounding set says again.
    _check(_prctl(_PR_SET_SECUREBITS, _SECUREBITS_ALL_LOCKED, 0, 0, 0), "lock the secure bits")
    capability = 0
    while _prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) >= 0:
        capability += 1
    if (error := ctypes.get_errno()) != _EINVAL or not capability:  # EINVAL: there are no more of them
        raise OSError(error, f"cannot drop capability {capability}: {os.strerror(error)}")
    _check(_prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "clear the ambient capabilities")
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    _check(_capset(header, bytes(24)), "drop all capabilities")


def install_seccomp(program: bytes) -> None:
    """Put this process and all it will start under a filter, an array of struct sock_filter (seccomp(2)).

    Needs no_new_privs, or CAP_SYS_ADMIN in the user namespace.
    """
    count, rest = divmod(len(program), _FILTER_BYTES)
    if rest or not 0 < count <= _FILTER_MAX:
        raise OSError(_EINVAL, f"cannot install a seccomp filter: {len(program)} bytes are no program")
    filters = ctypes.create_string_buffer(program, len(program))
    head = ctypes.create_string_buffer(struct.pack("@HP", count, ctypes.addressof(filters)))  # struct sock_fprog
    answer = _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(head), 0, 0)
    _check(answer, "install a seccomp filter")


def is_directory(fd: int) -> bool:
    """What fstat(2) tells too, but that asks whoever serves the file, who may answer late; statx(2) need not."""
    found = ctypes.create_string_buffer(256)
    mask, flags = _STATX_TYPE, _AT_EMPTY_PATH | _AT_STATX_DONT_SYNC
    _check(_statx(fd, b"", flags, mask, found), "cannot see what was passed")
    return stat.S_ISDIR(_STATX_MODE.unpack_from(found)[0])


def close_range(first: int, last: int = 0x7FFF_FFFF) -> None:
    """Close every descriptor from `first` to `last`, both included (close_range(2), Linux 5.9)."""
    answer = _syscall(_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(last), ctypes.c_uint(0))
    _check(answer, f"close the descriptors from {first}")


def close_all_but(keep: list[int]) -> None:
    """Close every descriptor that `keep` does not name."""
    first = 0
    for fd in sorted(set(keep)):
        if fd > first:
            close_range(first, fd - 1)
        first = fd + 1
    close_range(first)


def _check(answer: int, what: str) -> None:
    if answer < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"cannot {what}: {os.strerror(error)}")
