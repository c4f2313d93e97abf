# SPDX-License-Identifier: MIT
"""The /dev of a session: the six devices that harm nobody, terminals of its own, and shared memory of its own."""

from __future__ import annotations

import os
import stat

from strata.sandbox.launcher import kernel
from strata.sandbox.layers import binding
from strata.sandbox.layers.plan import Plan

_NODES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
_TTY_GROUP = 5  # as in the skeleton's /etc/group
_TERMINALS = 64  # of the 3072 that all instances but the host's have (kernel.pty.max, kernel.pty.reserve)
_SHM_BYTES = 64 * 1024 * 1024


def populate(path: str, plan: Plan) -> None:
    """Make a /dev at `path`, for the users of the plan. Needs CAP_MKNOD on the host; act as root inside."""
    owner = f"uid={plan.uid_base},gid={plan.uid_base}"
    kernel.mount(
        "dev",
        binding.place(path),
        "tmpfs",
        kernel.MS_NOSUID | kernel.MS_NOEXEC,
        f"mode=755,size=64k,nr_inodes=64,{owner}",
    )
    mask = os.umask(0)
    for name, major, minor in _NODES:
        os.mknod(f"{path}/{name}", 0o666 | stat.S_IFCHR, os.makedev(major, minor))
    os.umask(mask)
    for name, target in _LINKS.items():
        os.symlink(target, f"{path}/{name}")
    for name in ("pts", "shm"):
        os.mkdir(f"{path}/{name}", 0o755)
    terminals = f"newinstance,ptmxmode=0666,mode=620,gid={plan.uid_base + _TTY_GROUP},max={_TERMINALS}"
    kernel.mount("devpts", f"{path}/pts", "devpts", kernel.MS_NOSUID | kernel.MS_NOEXEC, terminals)
    binding.tmpfs(f"{path}/shm", f"mode=1777,size={_shm(plan)},nr_inodes=4096,{owner}")


def arguments(plan: Plan) -> tuple[str, ...]:
    """The same by bubblewrap, where this process may make no nodes: it binds the host's."""
    return ("--dev", "/dev", "--perms", "1777", "--size", str(_shm(plan)), "--tmpfs", "/dev/shm")


def _shm(plan: Plan) -> int:
    return plan.part_of_memory(_SHM_BYTES, 8)
