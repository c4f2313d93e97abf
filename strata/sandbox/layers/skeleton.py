# SPDX-License-Identifier: MIT
"""The tree that is below everything in a session: an /etc of our own and empty places for the rest.

With the host's /usr it is the whole lower layer: what programs expect to find beside /usr, and nothing of the host's
that tells of the host's users or services. Below a base tree it gives the mount points that the tree may lack. It is
made once for all sessions that want the same, and never changed; a change of what it is made from makes another.
"""

from __future__ import annotations

import errno
import os
import stat
import zlib
from collections.abc import Callable

from strata.sandbox.layers import erase

MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Below / these are links into /usr, or directories of their own; inside they are as on the host."""

STORE = "nix/store"
_PLACES = (("dev", 0o755), ("proc", 0o555), ("root", 0o700), ("run", 0o755), ("tmp", 0o1777))
NAMES = frozenset(name for name, _ in _PLACES)
"""Directories that are a session's own, whatever the base has in them."""
_DIRECTORIES = (
    *(("etc", 0o755), ("home", 0o755), ("mnt", 0o755), ("opt", 0o755), ("srv", 0o755), ("usr", 0o755)),
    *(("var", 0o755), ("var/cache", 0o755), ("var/lib", 0o755), ("var/log", 0o755), ("var/tmp", 0o1777)),
)
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:{shell}\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1\tlocalhost strata\n::1\tlocalhost ip6-localhost ip6-loopback\n",
    "etc/hostname": "strata\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
    "etc/shells": "/bin/sh\n{shell}\n",
}
_LINKS = {
    "etc/mtab": "../proc/self/mounts",
    "var/run": "../run",
}
# What programs in /usr need of the host's /etc, and everybody may read: where alternatives lead, where libraries are,
# which certificates to trust, what time it is.
_COPIED = (
    *("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "protocols", "services"),
    *("os-release", "zoneinfo", "ssl/certs", "ssl/openssl.cnf", "pki/tls", "pki/ca-trust/extracted", "ca-certificates"),
)
_VISIBLE = ("/usr/", "/nix/store/")  # of the host, also inside
_LONGEST = 4 * 1024 * 1024
_FORM = 1  # of the tree: a change of the tables above shows by itself, one of the code does not


def bare(stock: str, store: bool = False) -> str:
    """A directory with the mount points alone, to lie below a base tree; with `store`, /nix/store is one."""
    return _ensure(stock, "places", lambda path: _make_places(path, store), STORE if store else "")


def full(stock: str, shell: str, network: str) -> str:
    """A directory with all that is not of the host's /usr. With the `host` network it knows the host's name servers."""
    names = _read("/etc/resolv.conf") if network == "host" else b""
    # On NixOS all that /etc has is links through /etc/static, which alone changes with the system.
    layout = [(name, _place("/" + name)) for name in (*MERGED, STORE, "etc/static")]
    sources = [_mark("/etc/" + name) for name in _COPIED]
    seen = repr((layout, sources, names, shell))
    return _ensure(stock, "skeleton", lambda path: _make_full(path, shell, names), seen)


def _ensure(stock: str, name: str, make: Callable[[str], None], seen: str) -> str:
    told = repr((_FORM, _PLACES, _DIRECTORIES, _FILES, _LINKS, _COPIED, seen))
    path = f"{stock}/{name}-{zlib.crc32(told.encode('utf-8', 'surrogateescape')):08x}-{len(told)}"
    if not os.path.isdir(path):
        unfinished = f"{path}.{os.getpid()}"
        os.makedirs(unfinished)
        os.chmod(unfinished, 0o755)  # noqa: S103  the / of everybody inside
        make(unfinished)
        try:
            os.rename(unfinished, path)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            erase.tree(unfinished)  # another session was quicker
    return path


def _make_places(path: str, store: bool) -> None:
    for name, mode in _PLACES:
        _directory(f"{path}/{name}", mode)
    if store:
        _directory(f"{path}/{STORE}", 0o755)


def _make_full(path: str, shell: str, names: bytes) -> None:
    _make_places(path, os.path.isdir(f"/{STORE}"))
    for name, mode in _DIRECTORIES:
        _directory(f"{path}/{name}", mode)
    for name, text in _FILES.items():
        _file(f"{path}/{name}", text.format(shell=shell).encode())
    if names:
        _file(f"{path}/etc/resolv.conf", names)
    for name, target in _LINKS.items():
        os.symlink(target, f"{path}/{name}")
    _make_merged(path)
    for name in _COPIED:
        os.makedirs(os.path.dirname(f"{path}/etc/{name}"), exist_ok=True)
        _copy(f"/etc/{name}", f"{path}/etc/{name}")


def _make_merged(path: str) -> None:
    for name in MERGED:
        place = _place("/" + name)
        if place == "directory":
            _directory(f"{path}/{name}", 0o755)
        elif place not in ("", "file"):
            os.symlink(place, f"{path}/{name}")


def _directory(path: str, mode: int) -> None:
    os.makedirs(path, exist_ok=True)
    os.chmod(path, mode)  # whatever the umask


def _file(path: str, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    with open(fd, "wb") as file:
        file.write(content)
        os.fchmod(fd, 0o644)


def _copy(source: str, target: str) -> None:
    """Copy what everybody may read; leave out what nobody inside could follow."""
    leads = _place(source)
    if not leads:
        return
    if leads == "directory":
        _copy_directory(source, target)
    elif leads == "file":
        _copy_file(source, target)
    elif leads.startswith(_VISIBLE) or "/" not in leads:
        os.symlink(leads, target)  # into what is there inside too, or to a neighbour
    elif (real := os.path.realpath(source)).startswith(_VISIBLE):
        os.symlink(real, target)
    else:
        _copy(real, target)


def _copy_directory(source: str, target: str) -> None:
    _directory(target, 0o755)
    for name in os.listdir(source):
        _copy(f"{source}/{name}", f"{target}/{name}")


def _copy_file(source: str, target: str) -> None:
    about = os.stat(source)
    if stat.S_ISREG(about.st_mode) and about.st_mode & stat.S_IROTH and about.st_size <= _LONGEST:
        _file(target, _read(source))


def _place(path: str) -> str:
    """`directory`, `file`, where a link leads, or nothing."""
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""
    except OSError:
        return "directory" if os.path.isdir(path) else "file"


def _mark(path: str) -> tuple[int, ...]:
    try:
        about = os.stat(path)
    except OSError:
        return ()
    return about.st_dev, about.st_ino, about.st_mtime_ns, about.st_size


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_LONGEST)
    except FileNotFoundError:
        return b""
