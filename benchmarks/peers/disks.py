# SPDX-License-Identifier: MIT
"""A disk of its own for a sandbox of a peer that bounds none: an image on a loop device, as Strata's sessions have.

It is made the quickest way there is, by the calls that Strata makes and without a program for them: an empty image is
copied, attached and mounted. That is part of opening, as taking it away is part of closing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.contract import Box, Peer, Tools
from strata import values
from strata.config import LimitSettings
from strata.sandbox.launcher import kernel
from strata.sandbox.layers import image

_SESSIONS = LimitSettings()
BYTES, INODES = values.size(_SESSIONS.disk_max), _SESSIONS.inodes_max
"""As sessions have by default."""


def own(peer: Peer) -> Peer:
    """The same peer with such a disk below each sandbox's files."""

    @contextmanager
    def around(tools: Tools) -> Iterator[None]:
        with peer.around(tools):
            image.empty(str(_stock(tools)), BYTES, INODES)
            yield

    return peer._replace(
        name=f"{peer.name}, own disk",
        what=f"{peer.what}; its files on a disk of its own",
        isolation=peer.isolation._replace(disk=True),
        open=lambda box: peer.open(box._replace(own_disk=True)),
        around=around,
    )


def make(box: Box) -> None:
    """Have the box's directory, which is there, be such a disk."""
    file = _file(box.path)
    image.make(str(_stock(box.tools)), BYTES, INODES, str(file))
    image.mount(str(file), str(box.path))
    box.path.chmod(0o755)


def remove(path: Path) -> None:
    """Take away what `make` made, if it did; the directory stays."""
    if os.path.ismount(path):
        kernel.umount2(path, kernel.MNT_DETACH)
    _file(path).unlink(missing_ok=True)


def _file(path: Path) -> Path:
    return path.with_name(f"{path.name}.ext4")


def _stock(tools: Tools) -> Path:
    return tools.scratch / "stock"
