# SPDX-License-Identifier: MIT
"""No overlay: what there is is read-only, new files are in memory, and root's home alone is kept on the disk."""

from __future__ import annotations

import errno
import os

from strata.sandbox.layers import binding, skeleton
from strata.sandbox.layers.plan import HOME, ROOT, STAGE, Plan

_ROOT_BYTES = 64 * 1024 * 1024


def mount(plan: Plan, lowers: list[str]) -> None:
    """Make a root of its own from the lower layers: `places` or `skeleton`, and a base tree if there is one."""
    if plan.layers:
        raise OSError(errno.EINVAL, "cannot open a snapshot with the overlay driver none: it takes kernel or fuse")
    owner = f"uid={plan.uid_base},gid={plan.uid_base}"
    binding.tmpfs(ROOT, f"mode=755,size={plan.part_of_memory(_ROOT_BYTES, 8)},nr_inodes=16384,{owner}")
    for lower in lowers:
        for entry in sorted(os.scandir(f"{STAGE}/{lower}"), key=lambda entry: entry.name):
            if not os.path.lexists(f"{ROOT}/{entry.name}"):
                _show(entry, read_only=bool(plan.base) or entry.name == "etc")
    home = f"{STAGE}/upper/upper/{HOME}"
    if not os.path.isdir(home):
        os.mkdir(home, 0o700)
    binding.bind(home, f"{ROOT}/{HOME}", None, binding.SAFE)


def _show(entry: os.DirEntry[str], read_only: bool) -> None:
    target = f"{ROOT}/{entry.name}"
    if entry.is_symlink():
        os.symlink(os.readlink(entry.path), target)
    elif entry.is_dir():
        os.mkdir(target)
        os.chmod(target, entry.stat().st_mode & 0o7777)
        if read_only and entry.name not in skeleton.NAMES:
            binding.bind(entry.path, target, None)
        else:
            for inner in os.scandir(entry.path):
                if inner.is_dir(follow_symlinks=False):
                    os.mkdir(f"{target}/{inner.name}")
                    os.chmod(f"{target}/{inner.name}", inner.stat().st_mode & 0o7777)
