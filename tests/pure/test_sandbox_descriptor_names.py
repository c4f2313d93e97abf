# SPDX-License-Identifier: MIT
"""What the room gives systemd to keep is named, counted and weighed; here the manager is a socket of the test's."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from strata.errors import ResourceExhausted
from strata.sandbox import descriptor_store
from strata.sandbox.descriptor_store import DescriptorStore, name
from strata.sandbox.ids import Key
from strata.sandbox.ring import Ring

KEY = Key("alice", "one")


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What NOTIFY_SOCKET leads to."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield sock


def heard(manager: socket.socket) -> str:
    """The next message, whose descriptors are closed."""
    data, fds, _, _ = socket.recv_fds(manager, 4096, 4)
    for fd in fds:
        os.close(fd)
    return f"{data.decode()} +{len(fds)}".replace("\n", " ")


def test_a_descriptor_is_kept_by_its_name_until_it_is_removed(manager: socket.socket) -> None:
    store = DescriptorStore({})
    with open(os.devnull) as file:
        full = name("run", KEY, "1", "out")
        store.push({full: file.fileno()})
        store.remove(full, name("run", KEY, "1", "never"))
    store.close()
    assert heard(manager) == "FDSTORE=1 FDNAME=run/alice/one/1/out FDPOLL=0 +1"
    assert heard(manager) == "FDSTOREREMOVE=1 FDNAME=run/alice/one/1/out +0"


def test_names_of_other_sessions_that_begin_alike_are_not_taken() -> None:
    """And each role is found by its number."""
    others = [name("run", Key("alice", "one.1"), "1", "out"), name("runs", KEY, "1", "out")]
    fds = {full: os.memfd_create("x") for full in [name("run", KEY, "7", "out"), name("run", KEY, "7", "err"), *others]}
    store = DescriptorStore(fds)
    taken = store.take("run", KEY)
    assert taken == {"7": {"out": fds[name("run", KEY, "7", "out")], "err": fds[name("run", KEY, "7", "err")]}}
    assert set(store.taken) == set(others)
    store.drop_untaken()
    for fd in taken["7"].values():
        os.close(fd)
    assert len(store) == 2


def test_a_manager_that_is_busy_holds_nobody_up_and_misses_nothing(manager: socket.socket) -> None:
    async def conversation() -> None:
        store = DescriptorStore({})
        names = [name("run", KEY, str(number), "out") for number in range(500)]
        with open(os.devnull) as file:
            for full in names:
                store.push({full: file.fileno()})  # far more than a datagram socket's queue holds
        loop = asyncio.get_running_loop()
        for full in names:
            assert f"FDNAME={full} " in await loop.run_in_executor(None, heard, manager)
        store.close()

    asyncio.run(conversation())


def test_more_descriptors_than_systemd_takes_are_refused() -> None:
    store = DescriptorStore({}, most=3)
    with open(os.devnull) as file:
        store.push({name("run", KEY, "1", role): file.fileno() for role in ("a", "b")})
        with pytest.raises(ResourceExhausted, match="2 of 3 descriptors are kept"):
            store.push({name("run", KEY, "2", role): file.fileno() for role in ("a", "b")})
    assert len(store) == 2, "all or none"


def test_more_memory_than_may_be_kept_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring weighs what it may come to hold, and once it is full for good what it holds."""
    monkeypatch.setattr(descriptor_store, "MOST_BYTES", 3_000_000)
    store = DescriptorStore({})
    ring = Ring.make("test", 1_048_576)
    store.push({name("run", KEY, "1", "out"): ring.fd})
    store.check_room(1, 1_900_000)
    with pytest.raises(ResourceExhausted, match="may take"):
        store.check_room(1, 2_000_000)
    store.weigh(name("run", KEY, "1", "out"), ring.held())
    store.check_room(1, 2_000_000)
    ring.close()
