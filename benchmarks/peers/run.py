# SPDX-License-Identifier: MIT
"""Measures all peers beside the systemd that runs Strata: settings as JSON on standard input, records as lines of JSON
on standard output. Started by benchmarks/sandboxes.py."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.peers import disks, processes
from benchmarks.peers.contract import SAME, Peer, Tools
from benchmarks.peers.table import OURS, PEERS
from benchmarks.peers.works import WORKS, Runner, Work, pairs
from strata.errors import StrataError

FAILURES = (OSError, RuntimeError, TimeoutError, StrataError, subprocess.SubprocessError)


_ENDING: list[int] = []


def _stop(number: int, _: object) -> None:
    """Remembered too: an exception that is raised while something is collected goes nowhere."""
    _ENDING.append(number)
    sys.exit(128 + number)


def say(**record: Any) -> None:
    print(json.dumps(record), flush=True)


def describe(peer: Peer, tools: Tools) -> bool:
    """Say what it is; whether it can be measured."""
    why, version = peer.missing(tools), ""
    if not why:
        try:
            version = peer.version(tools)
        except FAILURES as error:
            why = f"cannot be asked for its version: {_words(error, tools)}"
    same = all(getattr(peer.isolation, name) for name in SAME)
    say(
        kind="peer",
        peer=peer.name,
        what=peer.what,
        version=version,
        missing=why,
        same=same,
        isolation=peer.isolation._asdict(),
        execute=peer.execute,
    )
    return not why


def measure(peer: Peer, tools: Tools, only: list[str]) -> None:
    """All works of one peer; one that fails is said, and the next is tried."""
    wanted = [work for work in WORKS if work.name in (only or [work.name]) and work.fits(peer)]
    try:
        with peer.around(tools):
            before = processes.all_of_them()
            for work in wanted:
                if _ENDING:
                    sys.exit(128 + _ENDING[0])
                print(f"  {peer.name}: {work.name}", file=sys.stderr, flush=True)
                try:
                    found = pairs(work, Runner(OURS, tools), Runner(peer, tools))
                    _say_work(peer, work, ours=found.ours, theirs=found.theirs, remark=found.remark)
                except FAILURES as error:
                    _say_work(peer, work, failed=_words(error, tools))
                _sweep(tools, before)
    except FAILURES as error:  # what is needed around it could not be had, or not be taken back
        _say_work(peer, wanted[-1], failed=_words(error, tools))


def _words(error: Exception, tools: Tools) -> str:
    """What went wrong, without the places of this machine, which mean nothing elsewhere."""
    said = f"{type(error).__name__}: {error}".replace(str(tools.peers), ".cache/peers")
    return said.replace(str(tools.scratch), "…")[:300]


def _say_work(peer: Peer, work: Work, **more: Any) -> None:
    say(kind="work", peer=peer.name, work=work.name, what=work.what, unit=work.unit, **more)


def _sweep(tools: Tools, before: set[int]) -> None:
    """End what a failure left, and remove its files."""
    left = {path for path in tools.scratch.glob("p[0-9]*") if path.is_dir()}
    ours = {pid for pid in processes.all_of_them() - before if not _is_strata(pid)}
    if not left and not ours:
        return
    processes.end(ours)
    deadline = time.monotonic() + 5.0
    while (processes.all_of_them() & ours) and time.monotonic() < deadline:
        time.sleep(0.01)
    for path in left:
        disks.remove(path)
        shutil.rmtree(path, ignore_errors=True)


def _is_strata(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return f"strata-sandbox-{processes.OWNER}-" in Path(f"/proc/{pid}/cgroup").read_text()
    return False


def main() -> int:
    given = json.loads(sys.stdin.readline())
    signal.signal(signal.SIGTERM, _stop)
    processes.adopt()
    scratch = Path(tempfile.mkdtemp(prefix="strata-peers-", dir="/var/tmp"))
    scratch.chmod(0o755)
    tools = Tools(Path(given["peers"]), scratch, given["settings"])
    try:
        with OURS.around(tools):
            describe(OURS, tools)
            for peer in PEERS:
                wanted = not given["only"] or any(word in peer.name for word in given["only"])
                if wanted and describe(peer, tools):
                    measure(peer, tools, given["works"])
    finally:
        _sweep(tools, set())
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


if __name__ == "__main__":
    try:
        code = main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    os._exit(code)  # threads that still wait for a sandbox, which is gone, are not waited for
