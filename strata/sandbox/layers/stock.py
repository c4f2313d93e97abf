# SPDX-License-Identifier: MIT
"""What sessions share on disk, made before the first one asks: the skeletons, and empty images to copy."""

from __future__ import annotations

import os
from collections.abc import Iterable

from strata.sandbox.layers import build, erase, image, skeleton


def prepare(
    path: str, network: str, tools: tuple[str, ...], disks: Iterable[tuple[int, int]], mapped: bool, alone: bool
) -> list[str]:
    """Fill the directory `path`; what cannot be done, in sentences. `disks`: bytes and inodes of the usual sizes.

    With `alone`, no session lives, and what earlier ones have used and these will not is removed. Takes 0.3 s the first
    time and no time after that. Raises OSError when not even the directory can be made.
    """
    os.makedirs(path, mode=0o700, exist_ok=True)
    kept = {skeleton.bare(path), skeleton.full(path, build.host_shell(tools), network)}
    cannot = []
    for size, inodes in sorted(set(disks)) if mapped else ():
        try:
            kept.add(image.empty(path, size, inodes))
        except OSError as error:
            cannot.append(str(error.strerror or error))
    for name in os.listdir(path) if alone else ():
        if f"{path}/{name}" not in kept:
            erase.tree(f"{path}/{name}")
    return cannot
