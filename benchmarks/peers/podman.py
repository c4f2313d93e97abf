# SPDX-License-Identifier: MIT
"""podman --rootfs: a container of a directory, without a daemon."""

from __future__ import annotations

import os

from benchmarks.peers import processes, tools, trees
from benchmarks.peers.contract import ALL_BUT_DISK, FIRST_UID, MEMORY, TASKS, UIDS, Argv, Box, Peer, Tools
from benchmarks.peers.shelled import Recipe, opener

_PROGRAMS = ("podman", "conmon", "runc")


def call(tools_: Tools, *words: str) -> Argv:
    """podman with all that it keeps in the run's own directory."""
    kept = tools_.scratch / "podman"
    return [
        *(tools.find(tools_, "podman"), "--log-level", "error", "--root", str(kept / "root")),
        *("--runroot", str(kept / "run"), "--tmpdir", str(kept / "tmp"), "--storage-driver", "vfs"),
        *("--cgroup-manager", "cgroupfs", "--events-backend", "none"),
        *("--conmon", tools.find(tools_, "conmon"), "--runtime", tools.find(tools_, "runc"), *words),
    ]


def start(box: Box, command: Argv) -> Argv:
    ids = f"0:{FIRST_UID}:{UIDS}"
    return call(
        box.tools,
        *("run", "--name", box.name, "--network", "none", "--log-driver", "none", "--uidmap", ids, "--gidmap", ids),
        *("--cap-drop", "all", "--security-opt", "no-new-privileges", "--memory", str(MEMORY)),
        *("--pids-limit", str(TASKS), "--volume", "/usr:/usr:ro", "--rootfs", str(box.root), *command),
    )


def prepare(box: Box) -> None:
    trees.make(box.root)
    os.mkfifo(box.root / "wait")
    trees.own(box.root, FIRST_UID)


PEER = Peer(
    name="podman --rootfs",
    what="with runc: user namespace, own root tree, its filter and limits, no network; its client is ended when the "
    "first output came, the container stays",
    isolation=ALL_BUT_DISK,
    version=tools.version("podman"),
    missing=tools.lacking(*_PROGRAMS),
    open=opener(
        Recipe(
            start=start,
            prepare=prepare,
            enter=lambda box, command: call(box.tools, "exec", box.name, *command),
            end=lambda box: call(box.tools, "rm", "--force", "--time", "0", box.name),
            programs=_PROGRAMS,
            holds=True,
        )
    ),
    execute="podman exec",
    has_line=False,
    # The ones for all of its containers stay when the last of them has gone.
    around=processes.without_cgroups("libpod_parent"),
)
