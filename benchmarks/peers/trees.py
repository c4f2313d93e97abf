# SPDX-License-Identifier: MIT
"""File trees to be somebody's root: the machine's /usr is mounted in, all else is the sandbox's own, as in Strata."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

DIRECTORIES = ("usr", "etc", "proc", "dev", "sys", "tmp", "run", "root", "var")
LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_PASSWD = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"


def make(root: Path, uid: int = 0) -> None:
    """An empty tree that belongs to `uid`."""
    root.mkdir(parents=True)
    for name in DIRECTORIES:
        (root / name).mkdir()
    for name in LINKS:
        if os.path.islink(f"/{name}"):
            (root / name).symlink_to(f"usr/{name}")
    (root / "etc/passwd").write_text(_PASSWD)
    if uid:
        own(root, uid)


def own(root: Path, uid: int) -> None:
    """Give a tree to somebody."""
    for path in (root, *root.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)


def remove(path: Path) -> None:
    """Remove a tree, whatever is in it."""
    shutil.rmtree(path, ignore_errors=False)
