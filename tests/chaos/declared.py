# SPDX-License-Identifier: MIT
"""The services that a chaos world declares, one of each kind, and what each should be when nothing is wrong."""

from __future__ import annotations

import socket
import textwrap
from typing import TYPE_CHECKING

from strata.errors import StrataError
from strata.paths import Paths

if TYPE_CHECKING:
    from world import World

LOOPER, ON_DEMAND = "looper", "greeter"
MAY_BE_STOPPED = ("simple", "extra")
"""Services that an operator of the load starts and stops."""
FAST = '[restart]\nbackoff = "100ms"\ncrashes = 50\n'
SIMPLE = f'command = ["/bin/sleep", "infinity"]\n{FAST}'
_TICKING = """
command = ["${python}", "-I", "-S", "-c", '''
import os, socket, time
to = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
def say(word):
    try: to.sendto(word, os.environ["NOTIFY_SOCKET"])
    except OSError: pass
say(b"READY=1")
while True:
    time.sleep(0.5)
    say(b"WATCHDOG=1")
''']
type = "notify"
[health]
kind = "watchdog"
interval = "3s"
"""
_GREETER = """
command = ["${python}", "-I", "-S", "-c", '''
import socket
listener = socket.socket(fileno=3)
while True:
    peer, _ = listener.accept()
    peer.sendall(b"hello")
    peer.close()
''']
activation = "on-demand"
[socket]
listen = "${runtime_dir}/greeter.sock"
"""
_PROBED = """
command = ["/bin/sleep", "infinity"]
[health]
kind = "exec"
command = ["/bin/true"]
interval = "1s"
"""
_LOOPER = 'command = ["/bin/false"]\n[restart]\nbackoff = "100ms"\ncrashes = 3\n'
MANIFESTS = {
    "simple": SIMPLE,
    "ticking": _TICKING + FAST,
    "greeter": _GREETER + FAST,
    "probed": _PROBED + FAST,
    LOOPER: _LOOPER,
}
STATES = {name: "Quarantined" if name == LOOPER else "Healthy" for name in MANIFESTS}
"""The greeter is Declared until its first client."""


def write(paths: Paths, name: str, text: str) -> None:
    """Put a manifest into services.d, whole."""
    draft = paths.services_d / f".{name}.new"
    draft.write_text(textwrap.dedent(text))
    draft.rename(paths.services_d / f"{name}.toml")


def write_all(paths: Paths) -> None:
    """All of them."""
    for name, text in MANIFESTS.items():
        write(paths, name, text)


def greeted(paths: Paths) -> bytes:
    """What a client of the greeter is told; connecting starts it."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(paths.runtime_dir / "greeter.sock"))
        return client.recv(16)


def arrived(world: World) -> bool:
    """Whether all of them are in the state that they are to be in."""
    try:
        greeted(world.paths)
        rows = world.rows()
    except (OSError, StrataError):
        return False
    return all(rows[name]["state"] == state for name, state in STATES.items() if name in rows)
