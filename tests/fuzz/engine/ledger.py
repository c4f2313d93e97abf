# SPDX-License-Identifier: MIT
"""How long each target has run on this machine, over all runs: a local log, never committed."""

from __future__ import annotations

import collections
import json
import time

from engine import target
from engine.campaign import Outcome

_LOG = target.ROOT / ".work" / "runs.jsonl"


def add(outcome: Outcome) -> None:
    """Note one run."""
    _LOG.parent.mkdir(parents=True, exist_ok=True)
    with _LOG.open("a") as log:
        log.write(json.dumps({"at": int(time.time()), **outcome._asdict()}) + "\n")


def table() -> str:
    """Seconds and runs of each target, and crashes, together."""
    seconds: collections.Counter[str] = collections.Counter()
    runs: collections.Counter[str] = collections.Counter()
    crashes: collections.Counter[str] = collections.Counter()
    for line in _LOG.read_text().splitlines() if _LOG.exists() else []:
        run = json.loads(line)
        seconds[run["name"]] += run["seconds"]
        runs[run["name"]] += run["runs"]
        crashes[run["name"]] += run["crashes"]
    rows = [f"{name:<20}{runs[name]:>13}{seconds[name]:>10.0f}{crashes[name]:>9}" for name in target.names()]
    return "\n".join((f"{'in all, so far':<20}{'runs':>13}{'seconds':>10}{'crashes':>9}", *rows))
