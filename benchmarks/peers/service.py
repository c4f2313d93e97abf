# SPDX-License-Identifier: MIT
"""systemd-run --pipe --wait: a transient service with systemd's own sandboxing."""

from __future__ import annotations

import grp
import os
import pwd
import re

from benchmarks.peers import bus, tools, trees, units
from benchmarks.peers.contract import Argv, Box, Isolation, Peer
from benchmarks.peers.shelled import Recipe, opener

_PRIVATE_PIDS = 257  # the first version with PrivatePIDs=
_WALLS = (
    *("MountAPIVFS=yes", "BindReadOnlyPaths=/usr", "PrivateTmp=yes", "PrivateDevices=yes", "PrivateNetwork=yes"),
    *("PrivateUsers=yes", "PrivateIPC=yes", "ProtectHostname=yes", "NoNewPrivileges=yes", "CapabilityBoundingSet="),
    *("SystemCallFilter=@system-service", "ProtectKernelTunables=yes", "RestrictNamespaces=yes"),
)


def systemd() -> int:
    """The machine's version."""
    found = re.search(r"\d+", os.popen("systemctl --version").read())
    return int(found[0]) if found else 0


def start(box: Box, command: Argv) -> Argv:
    walls = [*_WALLS, f"RootDirectory={box.root}", "User=nobody", f"Group={_GROUP}", *_PIDS]
    return [
        *("systemd-run", "--quiet", "--collect", "--pipe", "--wait", f"--unit={units.unit(box, 'service')}"),
        *units.LIMITS,
        *(f"--property={wall}" for wall in walls),
        *("--", *command),
    ]


_GROUP = grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name
_PIDS = ("PrivatePIDs=yes",) if systemd() >= _PRIVATE_PIDS else ()

PEER = Peer(
    name="systemd-run service",
    what="a transient service with RootDirectory=, PrivateUsers=, PrivateNetwork=, SystemCallFilter=, limits"
    + ("" if _PIDS else f"; no pid namespace before systemd {_PRIVATE_PIDS}"),
    isolation=Isolation(
        mounts=True, processes=bool(_PIDS), network=True, users=True, own_root=True, filter=True, limits=True
    ),
    version=tools.version("systemd-run"),
    missing=lambda tools_: tools.lacking("systemd-run")(tools_) or bus.missing(),
    open=opener(
        Recipe(
            start=start,
            prepare=lambda box: trees.make(box.root, pwd.getpwnam("nobody").pw_uid),
            end=units.stop("service"),
        )
    ),
    around=bus.running,
)
