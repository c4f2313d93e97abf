# SPDX-License-Identifier: MIT
"""What works on this machine, found out by doing it: `python -m strata.sandbox.layers.probe [STOCK]` prints JSON.

Each driver builds a small root and takes it down again, in a process and a mount namespace of its own, so nothing can
be left behind. The answer says for each feature why it does not work, or nothing where it does.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from typing import NamedTuple

from strata.sandbox.launcher import kernel, userns
from strata.sandbox.layers import binding, build, bwrap, erase, image, skeleton
from strata.sandbox.layers.plan import STAGE

_BYTES = 8 * 1024 * 1024
_INODES = 256
_UIDS = 0x7FFF_0000  # a range above those of sessions


def probe(stock: str = "", near: str = "") -> dict[str, str]:
    """Feature → why not, empty where it works: bwrap, namespace, kernel, fuse, none, image, owners; in that order.

    With the directory `stock` of the sessions nothing is made that they have already; a new one takes 0.2 s. It is
    tried on the file system of `near`, the first directory above it that is there: file systems differ in what they can
    do (mount_setattr(2), idmapped mounts: tmpfs since Linux 6.3).
    """
    directory = tempfile.mkdtemp(prefix="strata-probe-", dir=_place(near))
    try:
        stock = stock or f"{directory}/stock"
        skeleton.full(stock, build.host_shell(()), "isolated")  # once, not by each
        begun = {name: _begin(check, _Trial(f"{directory}/{name}", stock)) for name, check in _CHECKS.items()}
        return {name: _why(*begun) for name, begun in begun.items()}
    finally:
        erase.tree(directory)


def _place(near: str) -> str | None:
    """None is where temporary files lie: for whoever may not write where sessions do."""
    while near and not os.path.isdir(near):
        near = os.path.dirname(near)
    return near if near and os.access(near, os.W_OK | os.X_OK) else None


class _Trial(NamedTuple):
    directory: str
    stock: str


def _begin(check: Callable[[_Trial], None], trial: _Trial) -> tuple[int, int]:
    """A process that tries, and where it says why it could not."""
    os.mkdir(trial.directory)
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        why = "its process ended"
        try:
            check(trial)
            why = ""
        except OSError as error:
            why = str(error.strerror or error)
        finally:
            os.write(writable, why.encode())
            os._exit(0)
    os.close(writable)
    return child, readable


def _why(child: int, readable: int) -> str:
    with open(readable, "rb") as file:
        why = file.read().decode()
    os.waitpid(child, 0)
    return why


def _bwrap(trial: _Trial) -> None:
    bwrap.program()


def _private() -> int | None:
    namespace = None
    if os.geteuid() == 0:
        namespace = userns.of_range(_UIDS)
    else:
        userns.of_caller()
    kernel.unshare(kernel.NEWNS)
    kernel.make_private()
    return namespace


def _namespace(trial: _Trial) -> None:
    _private()


def _driver(name: str) -> Callable[[_Trial], None]:
    def check(trial: _Trial) -> None:
        mapped, namespace = os.geteuid() == 0, _private()
        plan = {"disk_bytes": _BYTES, "inodes": _INODES, "uid_base": _UIDS, "mapped": mapped}
        root = build.build({"driver": name, **trial._asdict(), **plan}, namespace)
        if root.driver != name:
            raise OSError(0, root.warnings[-1])
        if mapped:
            kernel.act_as(_UIDS, _UIDS)
        os.close(os.open(f"{root.path}/root/written", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))

    return check


def _image(trial: _Trial) -> None:
    if os.geteuid() != 0:
        raise OSError(0, "only root may mount an image: what sessions write is kept in memory")
    _private()
    path = f"{trial.directory}/{image.NAME}"
    image.make(trial.stock, _BYTES, _INODES, path)
    image.mount(path, STAGE)


def _owners(trial: _Trial) -> None:
    namespace = _private()
    if namespace is None:
        raise OSError(0, "only root may map a range of users: inside there is one user")
    for path in build.host_places("", ()):
        binding.bind(path, STAGE, namespace)


_CHECKS = {
    "bwrap": _bwrap,
    "namespace": _namespace,
    **{name: _driver(name) for name in ("kernel", "fuse", "none")},
    "image": _image,
    "owners": _owners,
}


def main() -> int:
    """Print what `probe` finds, one JSON object; the argument is its `stock`."""
    sys.stdout.write(json.dumps(probe(*sys.argv[1:2])) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
