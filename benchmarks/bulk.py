# SPDX-License-Identifier: MIT
"""Much data: a program's output over HTTP and through passed descriptors beside a bare pipe; a file of a GiB there and
back, and what that takes of everybody's memory."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

from benchmarks.daemons import main_pid
from benchmarks.door import Caller
from benchmarks.guests import OWNER, Guests, guests
from benchmarks.harness import Figure, quartiles, ratio
from benchmarks.place import Place
from strata.sockets.client import Client

OUTPUT, ROUNDS = 1_073_741_824, 5
FILE, SLACK = 1_073_741_824, 16.0
FRAMED = "application/vnd.strata.stream"
_READ_BYTES = 1_048_576
# In pieces as large as a pipe holds: the pipe is what is measured, not the program.
_WRITER = ["dd", "if=/dev/zero", "bs=65536", f"count={OUTPUT // 65536}", "status=none"]


def figures(place: Place) -> Iterator[Figure]:
    """Rates in megabytes (10⁶ bytes) a second."""
    with guests(place) as here:
        here.open("bulk")
        yield from output(here)
        yield from transfers(here)


def output(here: Guests) -> Iterator[Figure]:
    """The same program each time; who reads looks at nothing."""
    ways: dict[str, Callable[[], float]] = {
        "http": lambda: _over_http(here),
        "descriptors": lambda: _through(lambda out: _run(here, out)),
        "pipe": lambda: _through(_bare),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            rates[name].append(OUTPUT / way() / 1e6)
    http, pipe = rates["http"], statistics.median(rates["pipe"])
    what = "output of a run over HTTP"
    yield Figure("output: HTTP", what, statistics.median(http), "MB/s", at_least=200.0, spread=quartiles(http))
    yield ratio(
        "output: descriptors",
        "output of a run through passed descriptors, against a bare pipe",
        [passed / bare for passed, bare in zip(rates["descriptors"], rates["pipe"], strict=True)],
        at_least=0.9,
        note=f"{statistics.median(rates['descriptors']):.0f} MB/s, pipe {pipe:.0f} MB/s",
    )


def transfers(here: Guests) -> Iterator[Figure]:
    """By the client library, in a process of its own, against the door and the room that are there anyway."""
    source, copy = here.place.scratch / "gib", here.place.scratch / "copy"
    with source.open("wb") as file:
        for _ in range(FILE // _READ_BYTES):
            file.write(os.urandom(4096) * 256)
    pids = {name: str(main_pid(here.place, name)) for name in ("api", "sandbox")}
    before = here.inside("forget", *pids.values())
    base, _ = _client(here, "pass")
    up, up_seconds = _client(here, f"session.put({str(source)!r}, 'gib')")
    down, down_seconds = _client(here, f"session.get('gib', {str(copy)!r})")
    after = here.inside("peak", *pids.values())
    same = subprocess.run(["cmp", str(source), str(copy)], check=False).returncode == 0
    yield Figure("1 GiB: differs", "after upload and download", int(not same), "", at_most=0)
    yield Figure("1 GiB: upload", "through strata.client over HTTP", FILE / up_seconds / 1e6, "MB/s")
    yield Figure("1 GiB: download", "the same way back", FILE / down_seconds / 1e6, "MB/s")
    for name, grown in (
        ("door", after[pids["api"]] - before[pids["api"]]),
        ("room", after[pids["sandbox"]] - before[pids["sandbox"]]),
        ("client", max(up, down) - base),
    ):
        yield Figure(f"1 GiB: {name}", "peak memory, more than before", grown, "MB", at_most=SLACK)


_CLIENT = """
import resource, sys, time
from strata.client import Client
with Client(sys.argv[1], token=sys.stdin.read(), timeout=300) as client:
    session, start = client.session(sys.argv[2], "bulk"), time.perf_counter()
    exec(sys.argv[3])
    print("[%d, %f]" % (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter() - start))
"""


def _client(here: Guests, statement: str) -> tuple[float, float]:
    """Peak memory in megabytes and seconds of one statement on the session."""
    argv = [sys.executable, "-c", _CLIENT, f"http://{here.place.door}", OWNER, statement]
    done = subprocess.run(argv, input=here.address.token, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(f"cannot measure: {statement}: {done.stderr}")
    kib, seconds = json.loads(done.stdout)
    return kib * 1024 / 1e6, seconds


def _over_http(here: Guests) -> float:
    caller = Caller(here.address)
    request = here.address.request("POST", f"/api/v1/sessions/{OWNER}/bulk/run", {"argv": _WRITER}, FRAMED)
    start = time.perf_counter()
    total = caller.drain(request)
    seconds = time.perf_counter() - start
    caller.close()
    if total < OUTPUT:
        raise RuntimeError(f"cannot measure: {total} bytes of {OUTPUT} came")
    return seconds


def _through(write: Callable[[int], object]) -> float:
    """Seconds until the end of a pipe that `write` is given the write end of."""
    reader, writer = os.pipe()
    start = time.perf_counter()
    thread = threading.Thread(target=write, args=(writer,))
    thread.start()
    buffer, total = bytearray(_READ_BYTES), 0
    while count := os.readv(reader, [buffer]):
        total += count
    seconds = time.perf_counter() - start
    thread.join()
    os.close(reader)
    if total != OUTPUT:
        raise RuntimeError(f"cannot measure: {total} bytes of {OUTPUT} came")
    return seconds


def _run(here: Guests, out: int) -> None:
    params = {"owner": OWNER, "session": "bulk", "argv": _WRITER, "descriptors": ["stdout"]}
    try:
        with Client(here.place.paths.socket("sandbox"), timeout=None) as client:
            client.call("sandbox.run", params, here.address.token, descriptors=[out])
    finally:
        os.close(out)


def _bare(out: int) -> None:
    program = shutil.which(_WRITER[0]) or _WRITER[0]
    pid = os.posix_spawn(program, _WRITER, {}, file_actions=[(os.POSIX_SPAWN_DUP2, out, 1)])
    os.close(out)
    os.waitpid(pid, 0)
