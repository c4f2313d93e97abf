# SPDX-License-Identifier: MIT
"""systemd-nspawn: a container of a directory, in a scope with limits."""

from __future__ import annotations

from benchmarks.peers import tools, trees, units
from benchmarks.peers.contract import ALL_BUT_DISK, FIRST_UID, UIDS, Argv, Box, Peer
from benchmarks.peers.shelled import Recipe, opener


def start(box: Box, command: Argv) -> Argv:
    # Without a bus it can make no scope of its own; systemd-run's costs a tenth of what follows.
    return units.scope(
        box,
        [
            *(tools.find(box.tools, "systemd-nspawn"), "--quiet", "--register=no", "--keep-unit", "--as-pid2"),
            *(f"--machine={box.name}", f"--directory={box.root}", "--bind-ro=/usr", "--private-network"),
            *(f"--private-users={FIRST_UID}:{UIDS}", "--private-users-ownership=off", "--no-new-privileges=yes"),
            *("--pipe", "--", *command),
        ],
    )


PEER = Peer(
    name="systemd-nspawn",
    what="--as-pid2 in a scope with limits, user namespace, own root tree, its own filter; unknown to machined",
    isolation=ALL_BUT_DISK._replace(session=False, reattach=False),
    version=tools.version("systemd-nspawn"),
    missing=tools.lacking("systemd-run", "systemd-nspawn"),
    open=opener(
        Recipe(
            start=start,
            prepare=lambda box: trees.make(box.root, FIRST_UID),
            end=units.stop("scope"),
            programs=("systemd-nspawn",),
        )
    ),
)
