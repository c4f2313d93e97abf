# SPDX-License-Identifier: MIT
"""Where a session's writes go: an image on a loop device, or memory where there are none; and snapshots' layers."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from strata.sandbox.layers import binding, image
from strata.sandbox.layers.plan import DISK, MIB, STAGE, Plan

# What the lack of loop devices, of the right to use them, or of mke2fs looks like. A full disk does not.
_MISSING = (errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.EACCES, errno.EPERM, errno.EINVAL)


def mount(plan: Plan, userns: int | None, warnings: list[str]) -> str:
    """Mount the disk at the stage's `disk`, as it is, and `upper`, as the session sees it: `image` or `tmpfs`.

    Both hold `upper`, the top layer, and `work`, which is the overlay's own (kernel documentation, overlayfs).
    """
    os.mkdir(DISK, 0o700)
    kind = "image" if plan.mapped and _mount_image(plan, warnings) else "tmpfs"
    if kind == "tmpfs":
        _mount_memory(plan, warnings)
    for name in ("upper", "work"):
        _directory(f"{DISK}/{name}")
    os.mkdir(f"{STAGE}/upper")
    binding.bind(DISK, f"{STAGE}/upper", userns, binding.SAFE)
    return kind


def _mount_memory(plan: Plan, warnings: list[str]) -> None:
    size = plan.part_of_memory(plan.disk_bytes, 2)
    if size < plan.disk_bytes:
        warnings.append(f"its disk holds {size // MIB} MiB, half of its memory_max, because it is in memory")
    binding.tmpfs(DISK, f"mode=700,size={size},nr_inodes={plan.inodes}")


def _mount_image(plan: Plan, warnings: list[str]) -> bool:
    path = f"{plan.directory}/{image.NAME}"
    try:
        image.mount_new(plan.stock, plan.disk_bytes, plan.inodes, path, DISK)
    except OSError as error:
        if error.errno not in _MISSING:
            raise
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        warnings.append(f"what this session writes is kept in memory: {error.strerror}")
        return False
    return True


def _directory(path: str) -> None:
    try:
        os.mkdir(path)
    except FileExistsError:
        return


def mount_layer(path: str, target: str, userns: int | None) -> None:
    """Mount a snapshot's layer, an image or a directory, read-only at `target`, as the session sees it."""
    if stat.S_ISDIR(os.stat(path).st_mode):
        binding.bind(path, target, userns)
        return
    image.mount(path, target, read_only=True)
    binding.bind(target, target, userns)
    # The plain mount is below the mapped one now, out of reach.
