# SPDX-License-Identifier: MIT
"""A service that keeps descriptors: `store_room.py DIRECTORY SOCKET`. Each of its lives writes what it was given back
to DIRECTORY/N.json, N being how many descriptors that were; the first one has something to keep."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
from pathlib import Path

from strata.sandbox import descriptor_store
from strata.sandbox.descriptor_store import DescriptorStore
from strata.sandbox.ids import Key
from strata.sandbox.ring import Ring
from strata.sockets import listen
from strata.systemd import notify

KEY = Key("alice", "task.1-x")
OTHER = Key("alice", "task.1")
MANY = 300


def fill(store: DescriptorStore) -> None:
    """A ring, a pipe and a terminal whose other ends have hung up, a crowd, and something of another session."""
    ring = Ring.make("test", 8)
    ring.append(b"0123456789")
    reader, writer = os.pipe()
    os.write(writer, b"left in the pipe")
    os.close(writer)
    master, other = pty.openpty()
    os.close(other)
    store.push({descriptor_store.name("run", KEY, "a1", "ring"): ring.fd})
    store.push({descriptor_store.name("run", KEY, "a1", "pipe"): reader})
    store.push({descriptor_store.name("terminal", KEY, "main", "master"): master})
    store.push({descriptor_store.name("run", OTHER, "a1", "pipe"): os.memfd_create("other")})
    for number in range(MANY):
        fd = os.memfd_create("many")
        os.write(fd, str(number).encode())
        store.push({descriptor_store.name("many", KEY, str(number), "x"): fd})
        os.close(fd)
    gone = descriptor_store.name("run", KEY, "gone", "pipe")
    store.push({gone: os.memfd_create("gone")})
    store.remove(gone)


def report(store: DescriptorStore) -> dict[str, object]:
    """What came back."""
    runs, terminals = store.take("run", KEY), store.take("terminal", KEY)
    many = store.take("many", KEY)
    ring = Ring(runs["a1"]["ring"])
    found = {
        "runs": {number: sorted(roles) for number, roles in runs.items()},
        "terminals": {number: sorted(roles) for number, roles in terminals.items()},
        "ring": [ring.start, ring.end, ring.read(0, 99).data.decode()],
        "pipe": os.read(runs["a1"]["pipe"], 99).decode(),
        "tty": os.isatty(terminals["main"]["master"]),
        "many": all(os.pread(many[str(number)]["x"], 9, 0) == str(number).encode() for number in range(MANY)),
        "inherited": [fd for fd in range(3, 400) if _inheritable(fd)],
    }
    store.drop_untaken()
    return found


def _inheritable(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False


async def main(directory: Path, path: Path) -> None:
    """One life."""
    store = DescriptorStore(listen.stored(), most=400)
    own = listen.inherited().get("control")
    count = len(store.taken)
    if count:
        (directory / "report.tmp").write_text(json.dumps({"found": report(store), "socket": own is not None}))
        (directory / "report.tmp").rename(directory / f"{count}.json")
    else:
        sock = listen.bound(path)
        notify.notify("FDSTORE=1", "FDNAME=control", fds=[sock.fileno()])
        fill(store)
        while store._waiting:  # a systemd that is busy has not heard of all yet
            await asyncio.sleep(0.01)
    notify.notify("READY=1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
