# SPDX-License-Identifier: MIT
"""Anthropic's sandbox runtime (srt): bubblewrap with proxies for the network, a Node program."""

from __future__ import annotations

import json
import shlex
import signal
from pathlib import Path

from benchmarks.peers import tools
from benchmarks.peers.contract import Argv, Box, Isolation, Peer, Tools
from benchmarks.peers.shelled import Recipe, opener

_PACKAGE = "@anthropic-ai/sandbox-runtime"


def node(tools_: Tools) -> str:
    """The Node that was fetched with it: it asks for 22.12 at least."""
    found = sorted((tools_.peers / "node/node_modules").glob("node-linux-*/bin/node"))
    return str(found[0]) if found else ""


def package(tools_: Tools) -> Path:
    return tools_.peers / "node/node_modules" / _PACKAGE


def prepare(box: Box) -> None:
    settings = {
        "network": {"allowedDomains": [], "deniedDomains": []},
        "filesystem": {"denyRead": [], "allowWrite": [str(box.path)], "denyWrite": []},
    }
    (box.path / "settings.json").write_text(json.dumps(settings))


def start(box: Box, command: Argv) -> Argv:
    program = str(package(box.tools) / "dist/cli.js")
    return [node(box.tools), program, "--settings", str(box.path / "settings.json"), "-c", shlex.join(command)]


def missing(tools_: Tools) -> str:
    if not node(tools_) or not package(tools_).is_dir():
        return "not installed: scripts/bench-peers fetches it with npm"
    return tools.lacking("bwrap", "socat", "rg", root=False)(tools_)


PEER = Peer(
    name="sandbox-runtime (srt)",
    what="bubblewrap by a Node program, with proxies for the network; the machine's files, most of them read-only",
    isolation=Isolation(mounts=True, processes=True, network=True, filter=True),
    version=lambda tools_: json.loads((package(tools_) / "package.json").read_text())["version"],
    missing=missing,
    open=opener(Recipe(start=start, prepare=prepare, how=signal.SIGTERM, programs=("socat", "rg"))),
)
