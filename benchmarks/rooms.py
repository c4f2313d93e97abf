# SPDX-License-Identifier: MIT
"""One call at a time: registry.resolve, fs.read and identity.issue beside a bare echo of the very same frame; and what
a room does for every call that carries a token."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator

import pyseto

from benchmarks import echo, pinned
from benchmarks.harness import Figure, alternate, quartiles, ratio
from benchmarks.place import Place
from benchmarks.wire import Line, checked, request
from strata.policy.token import public_key
from strata.policy.trust import Trust

ROUNDS, BLOCK = 30, 100


def figures(place: Place) -> Iterator[Figure]:
    """Round trips as ratios; absolute times stand in the notes."""
    with echo.running(place) as bare:
        for room, measure in (("registry", resolve), ("fs", read), ("identity", issue)):
            with pinned.together(place, echo.UNIT, f"strata-{room}.service"):
                yield from measure(place, bare)
    yield from check(place)


def resolve(place: Place, bare: Line) -> Iterator[Figure]:
    line = Line(place.paths.socket("registry"))
    framed = checked(line, request("registry.resolve", {"service": "fs"}))
    samples = alternate(
        {"room": lambda: line.round_trip(framed), "echo": lambda: bare.round_trip(framed)}, ROUNDS, BLOCK
    )
    line.close()
    yield ratio(
        "registry.resolve",
        "round trip against a bare frame echo",
        samples.ratios("room", lambda row: row["echo"]),
        at_most=1.5,
        note=_microseconds(room=samples.median("room"), echo=samples.median("echo")),
    )


def read(place: Place, bare: Line) -> Iterator[Figure]:
    """4 KiB with a token: against the echo of the request, and for information of a frame as large as the reply."""
    file = place.scratch / "four-kib"
    file.write_bytes(os.urandom(3072).hex().encode()[:4096])
    params = {"service": "fs", "actions": ["open", "read", "list"], "path_prefix": str(place.scratch)}
    token = place.call("identity", "identity.issue", params)["token"]
    line = Line(place.paths.socket("fs"))
    opened = json.loads(line.round_trip(request("fs.open", {"path": str(file)}, token)))
    framed = checked(line, request("fs.read", {"handle": opened["result"]["handle"], "size": 4096}, token))
    large = request("x" * (len(line.round_trip(framed)) - 72), {})
    samples = alternate(
        {
            "room": lambda: line.round_trip(framed),
            "echo": lambda: bare.round_trip(framed),
            "large": lambda: bare.round_trip(large),
        },
        ROUNDS,
        BLOCK,
    )
    line.close()
    yield ratio(
        "fs.read",
        "4 KiB with a token, against a bare frame echo",
        samples.ratios("room", lambda row: row["echo"]),
        at_most=2.5,
        note=_microseconds(room=samples.median("room"), echo=samples.median("echo")),
    )
    yield ratio(
        "fs.read, as large",
        "the same, against the echo of a frame as large as the reply",
        samples.ratios("room", lambda row: row["large"]),
        note=_microseconds(echo=samples.median("large")),
    )


def issue(place: Place, bare: Line) -> Iterator[Figure]:
    """Against an echo and one and a half bare signatures of the same claims."""
    params = {"service": "fs", "actions": ["open", "read", "list"], "path_prefix": "/tmp"}
    line = Line(place.paths.socket("identity"))
    framed = checked(line, request("identity.issue", params))
    token = json.loads(line.round_trip(framed))["result"]["token"]
    key = pyseto.Key.from_asymmetric_key_params(2, d=os.urandom(32))
    claims = b"c" * (len(token) * 3 // 4 - 64 - len("v2.public."))
    samples = alternate(
        {
            "room": lambda: line.round_trip(framed),
            "echo": lambda: bare.round_trip(framed),
            "sign": lambda: pyseto.encode(key, claims),
        },
        ROUNDS,
        BLOCK // 2,
    )
    line.close()
    yield ratio(
        "identity.issue",
        "against (bare frame echo + 1.5 × one pyseto signature)",
        samples.ratios("room", lambda row: row["echo"] + 1.5 * row["sign"]),
        at_most=1.0,
        note=_microseconds(room=samples.median("room"), echo=samples.median("echo"), sign=samples.median("sign")),
    )


def check(place: Place) -> Iterator[Figure]:
    """A token of this identity, by its keys, in this very process: processor time, which no other process blurs."""
    params = {"service": "fs", "actions": ["open", "read", "list"], "path_prefix": "/tmp"}
    token = place.call("identity", "identity.issue", params)["token"]
    told = place.call("identity", "identity.keys")["keys"]
    keys = [public_key(key["version"], key["key"]) for key in told]
    trust = Trust()
    trust.set_keys(keys)

    def cold() -> None:
        anew = Trust()
        anew.set_keys(keys)
        anew.verify(token)

    for name, what, action, bound in (
        ("token: cold", "verified for the first time", cold, 300.0),
        ("token: cached", "verified again", lambda: trust.verify(token), 10.0),
    ):
        taken = [_busy(action) * 1e6 for _ in range(ROUNDS)]
        yield Figure(name, what, statistics.median(taken), "µs", bound, spread=quartiles(taken))


def _busy(action: Callable[[], object]) -> float:
    """Seconds of processor time that it takes once, of a block."""
    start = time.thread_time()
    for _ in range(BLOCK):
        action()
    return (time.thread_time() - start) / BLOCK


def _microseconds(**times: float) -> str:
    return ", ".join(f"{name} {value * 1e6:.0f} µs" for name, value in times.items())
