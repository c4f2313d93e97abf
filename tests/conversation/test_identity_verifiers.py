# SPDX-License-Identifier: MIT
"""Whom a revocation waits for: real processes, and what systemd would be told of them."""

from __future__ import annotations

import array
import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Coroutine, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from rooms import DEADLINE

from strata.errors import InvalidArgument, ResourceExhausted
from strata.identity.lifetimes import Verifier
from strata.identity.verifiers import MOST, Verifiers

SOON = 0.9
"""Seconds within which an answer came that waited for nobody."""


class Life:
    """A process that does nothing."""

    def __init__(self) -> None:
        self._running = subprocess.Popen(["sleep", "60"])
        self.pid = self._running.pid

    def end(self) -> None:
        self._running.kill()
        self._running.wait()


@pytest.fixture
def life() -> Iterator[Life]:
    started = Life()
    yield started
    started.end()


class Manager:
    """Stands where systemd's socket is: what it was told to keep, by name."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.kept: dict[str, int] = {}

    def hear(self) -> None:
        """Take one message."""
        text, rights, _, _ = self._sock.recvmsg(4096, socket.CMSG_SPACE(4))
        said = dict(line.partition("=")[::2] for line in text.decode().split("\n"))
        if "FDSTORE" in said:
            self.kept[said["FDNAME"]] = array.array("i", rights[0][2])[0]
        else:
            os.close(self.kept.pop(said["FDNAME"]))


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(DEADLINE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        found = Manager(sock)
        yield found
        for fd in found.kept.values():
            os.close(fd)


def crowd(known: Verifiers, life: Life) -> None:
    """As many as may be."""
    for number in range(MOST):
        known.acknowledge(Verifier(life.pid, f"v{number}"), 5)


def run(test: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(test, DEADLINE))


def test_a_verifier_counts_until_its_process_ends_however_long_it_says_nothing(life: Life) -> None:
    async def go() -> None:
        with closing(Verifiers()) as known:
            known.acknowledge(Verifier(life.pid, "quiet"), 4)
            await asyncio.sleep(1.2)
            assert await known.confirmed(5, 0.1) == 1
            waiting = asyncio.create_task(known.confirmed(6, DEADLINE))
            await asyncio.sleep(0)
            life.end()
            assert await asyncio.wait_for(waiting, SOON) == 0

    run(go())


def test_a_verifier_that_has_confirmed_is_not_waited_for(life: Life) -> None:
    async def go() -> None:
        with closing(Verifiers()) as known:
            known.acknowledge(Verifier(life.pid, "quick"), 5)
            assert await asyncio.wait_for(known.confirmed(5), SOON) == 0

    run(go())


def test_of_two_verifiers_in_a_process_each_confirms_for_itself(life: Life) -> None:
    async def go() -> None:
        with closing(Verifiers()) as known:
            known.acknowledge(Verifier(life.pid, "one"), 5)
            known.acknowledge(Verifier(life.pid, "two"), 4)
            assert await known.confirmed(5, 0.05) == 1

    run(go())


def test_a_verifier_that_begins_anew_has_confirmed_nothing(life: Life) -> None:
    async def go() -> None:
        with closing(Verifiers()) as known:
            for revision in (5, 0):
                known.acknowledge(Verifier(life.pid, "again"), revision)
            assert await known.confirmed(5, 0.05) == 1

    run(go())


def test_after_a_restart_a_revocation_waits_for_verifiers_that_are_still_on_their_way(life: Life) -> None:
    """Else it would be confirmed by all of nobody, and taken by a service whose poll waits in the queue behind it."""

    async def go() -> None:
        with closing(Verifiers(restarted=True)) as known:
            revoking = asyncio.create_task(known.confirmed(5))
            await asyncio.sleep(0)
            known.acknowledge(Verifier(life.pid, "late"), 0)
            await asyncio.sleep(0)
            assert not revoking.done()
            known.acknowledge(Verifier(life.pid, "late"), 5)
            assert await revoking == 0
            assert await known.confirmed(6, 0.05) == 1, "one that is known and silent is counted"

    run(go())


def test_of_a_first_start_nobody_is_waited_for() -> None:
    async def go() -> None:
        assert await asyncio.wait_for(Verifiers().confirmed(5), SOON) == 0

    run(go())


def test_a_successor_waits_for_a_verifier_that_does_not_come_back(life: Life, manager: Manager) -> None:
    """One that is stopped, over a restart of identity: it has not ended, and accepts tokens when it goes on."""

    async def go() -> None:
        verifier = Verifier(life.pid, "stopped")
        with closing(Verifiers()) as first:
            first.acknowledge(verifier, 5)
            manager.hear()
        with closing(Verifiers(kept={name: os.dup(fd) for name, fd in manager.kept.items()})) as second:
            assert await second.confirmed(5, 0.05) == 1
            second.acknowledge(verifier, 5)
            assert await asyncio.wait_for(second.confirmed(5), SOON) == 0

    run(go())


def test_systemd_keeps_nothing_of_a_verifier_that_has_ended(life: Life, manager: Manager) -> None:
    async def go() -> None:
        with closing(Verifiers()) as first:
            first.acknowledge(Verifier(life.pid, "one"), 5)
            first.acknowledge(Verifier(life.pid, "two"), 5)
            manager.hear()
            manager.hear()
            assert set(manager.kept) == {f"verifier/{life.pid}/one", f"verifier/{life.pid}/two"}
            life.end()
            assert await first.confirmed(6) == 0
            manager.hear()
            manager.hear()
        assert not manager.kept

    run(go())


def test_a_successor_lets_go_of_those_that_ended_meanwhile_and_of_what_is_not_its_own(
    life: Life, manager: Manager
) -> None:
    async def go() -> None:
        gone = f"verifier/{life.pid}/gone"
        manager.kept = {gone: os.pidfd_open(life.pid), "stranger": os.pidfd_open(os.getpid())}
        life.end()
        with closing(Verifiers(kept={name: os.dup(fd) for name, fd in manager.kept.items()})) as known:
            assert await known.confirmed(5) == 0
            manager.hear()
            manager.hear()
        assert not manager.kept

    run(go())


def test_a_systemd_that_takes_nothing_holds_up_nobody(
    life: Life, manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    """Its socket's queue is short (net.unix.max_dgram_qlen)."""

    async def go() -> None:
        with closing(Verifiers()) as known:
            began = time.monotonic()
            crowd(known, life)
            assert time.monotonic() - began < SOON

    run(go())
    assert "systemd does not take FDSTORE=1" in caplog.text


def test_verifiers_without_end_are_refused(life: Life) -> None:
    async def go() -> None:
        with closing(Verifiers()) as known:
            crowd(known, life)
            with pytest.raises(ResourceExhausted, match="more than 128 verifiers"):
                known.acknowledge(Verifier(life.pid, "more"), 5)
            known.acknowledge(Verifier(life.pid, "v0"), 6)

    run(go())


def test_a_verifier_whose_end_could_not_be_seen_is_refused(life: Life) -> None:
    async def go() -> None:
        with closing(Verifiers()) as known:
            with pytest.raises(InvalidArgument, match="PID namespace"):
                known.acknowledge(Verifier(0, "elsewhere"), 5)
            life.end()
            with pytest.raises(InvalidArgument, match="has ended"):
                known.acknowledge(Verifier(life.pid, "ended"), 5)
            assert await known.confirmed(5) == 0

    run(go())
