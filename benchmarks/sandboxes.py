# SPDX-License-Identifier: MIT
"""Strata beside what else gives a sandbox: the same works for all, in one process beside the systemd that runs Strata.

benchmarks/peers/ says what the peers are, scripts/bench-peers fetches them.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import Figure, quartiles, unmeasured
from benchmarks.peers.contract import SAME
from benchmarks.place import CTL, Place

ACTIONS = ["create", "exec", "run", "close", "list", "stats"]
OWNER = "peers"
MUST_WIN = ("open", "exec", "idle")
"""Works in which Strata has to be ahead of every peer of the same isolation."""

CLEANING_SECONDS = 150.0
"""For a hundred sandboxes that are just being opened to be closed again."""

_ROOT = Path(__file__).resolve().parent.parent
_SCALES = {"s": (1e3, "ms"), "B": (1 / 1_048_576, "MiB")}


def figures(place: Place, only: Sequence[str] = (), works: Sequence[str] = ()) -> Iterator[Figure]:
    """One figure for each peer, and one for each of its works: peer / Strata, so more than 1 is for Strata."""
    if place.mode == "user":
        yield unmeasured("peers", "other sandboxes", "Strata has no sandboxes without root")
        return
    strata: dict[str, Any] = {}
    same: dict[str, bool] = {}
    for record in _records(place, only, works):
        if record["kind"] == "peer":
            strata = strata or record
            same[record["peer"]] = record["same"] and not record["peer"].startswith("Strata")
            yield described(record)
        else:
            yield compared(record, same[record["peer"]])


def described(record: dict[str, Any]) -> Figure:
    """What a peer is: how much of Strata's isolation it gives, or why it could not be measured."""
    name, details = f"peer: {record['peer']}", {key: record[key] for key in record if key != "kind"}
    what = f"{record['what']} (version {record['version']})" if record["version"] else record["what"]
    if record["missing"]:
        return Figure(name, what, None, "", note=record["missing"], details=details)
    walls = [record["isolation"][wall] for wall in SAME]
    return Figure(name, what, sum(walls), f"of {len(walls)} walls", details=details)


def compared(record: dict[str, Any], same: bool) -> Figure:
    """One work of one peer. With the same isolation, and in the works that count, Strata has to be ahead."""
    name, details = f"{record['work']}: {record['peer']}", {"work": record["work"], "peer": record["peer"]}
    if "failed" in record:
        return Figure(name, record["what"], None, "", note=record["failed"], details=details)
    scale, unit = _SCALES[record["unit"]]
    ours, theirs = statistics.median(record["ours"]) * scale, statistics.median(record["theirs"]) * scale
    ratios = [there / here for here, there in zip(record["ours"], record["theirs"], strict=True)]
    remark = f"; {record['remark']}" if record["remark"] else ""
    return Figure(
        name,
        record["what"],
        statistics.median(ratios),
        at_least=1.0 if same and record["work"] in MUST_WIN else None,
        spread=quartiles(ratios) if len(ratios) > 1 else None,
        note=f"{theirs:.3g} {unit} against {ours:.3g} {unit}, {len(ratios)} rounds{remark}",
        details=details | {"ours": ours, "theirs": theirs, "unit": unit, "remark": record["remark"], "same": same},
    )


def _records(place: Place, only: Sequence[str], works: Sequence[str]) -> Iterator[dict[str, Any]]:
    """As they come. Raises RuntimeError when whoever measures ends badly."""
    argv = [sys.executable, "-m", "benchmarks.peers.run"]
    if place.mode == "embedded":
        argv = [*CTL, "embedded", "run", "--", *argv]
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT, env=place.environment()
    )
    assert process.stdin
    assert process.stdout
    try:
        process.stdin.write(json.dumps(_settings(place, only, works)) + "\n")
        process.stdin.close()
        for line in process.stdout:
            yield json.loads(line)
    except BaseException:  # whatever ends this: what runs beside the systemd has to clean up after itself
        process.terminate()
        process.wait(CLEANING_SECONDS)
        raise
    if code := process.wait(CLEANING_SECONDS):
        raise RuntimeError(f"cannot measure the peers: exit code {code}, see above")


def _settings(place: Place, only: Sequence[str], works: Sequence[str]) -> dict[str, Any]:
    params = {"service": "sandbox", "actions": ACTIONS, "owner": OWNER}
    token = place.call("identity", "identity.issue", params)["token"]  # by a pipe: no secret in an argument
    where = {"socket": str(place.paths.socket("sandbox")), "door": place.door, "token": token}
    return {"peers": str(_ROOT / ".cache/peers"), "settings": where, "only": list(only), "works": list(works)}
