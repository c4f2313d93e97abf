# SPDX-License-Identifier: MIT
"""The kernel's overlay: what the session writes lies in the upper layer, what it finds in the lower ones."""

from __future__ import annotations

import os
from collections.abc import Sequence

from strata.sandbox.launcher import kernel

# Nothing that would need another reader of the upper layer than ours: a directory is never moved without its content,
# a file never copied up without its data (kernel documentation, overlayfs).
_PRIVILEGED = "index=off,redirect_dir=off,metacopy=off"
# In a user namespace the overlay keeps its notes in user.* attributes (Linux 5.11), which rules the other two out.
_UNPRIVILEGED = "index=off,userxattr"


def mount(stage: str, lowers: Sequence[str], upper: str, target: str, mapped: bool) -> None:
    """Mount an overlay; names are relative to `stage`, which keeps the host's paths out of the mount table inside."""
    layers = f"lowerdir={':'.join(lowers)},upperdir={upper}/upper,workdir={upper}/work"
    options = f"{layers},{_PRIVILEGED if mapped else _UNPRIVILEGED}"
    here = os.open(".", os.O_PATH | os.O_CLOEXEC)
    os.chdir(stage)
    try:
        kernel.mount("overlay", target, "overlay", kernel.MS_NOSUID | kernel.MS_NODEV, options)
    finally:
        os.fchdir(here)
        os.close(here)
