# SPDX-License-Identifier: MIT
"""Pages that show a shell: what is typed there is typed here, and must print what the page says."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MARK = "@@@"
REST = "…"
"""A line of a page that stands for all that follows."""

VOLATILE = frozenset(
    {"elapsed", "elapsed_ms", "cpu_ms", "memory_peak", "created_at", "expires_at", "mtime", "started_at"}
)
"""Fields of an answer that differ from run to run. Ids and hashes do so by their length."""

Steps = list[tuple[str, list[str]]]


def steps(block: str) -> Steps:
    """Commands and what they print; a command goes on in lines that begin with `> `, or after one that ends in `\\`."""
    found: Steps = []
    for line in block.splitlines():
        if found and not found[-1][1] and (line.startswith("> ") or found[-1][0].endswith("\\")):
            found[-1] = (f"{found[-1][0]}\n{line.removeprefix('> ')}", [])
        elif line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def typed(walk: Steps, places: Mapping[str, str], env: dict[str, str], cwd: str | Path = "/") -> list[list[str]]:
    """What the commands print in one shell, one list of lines each. `places`: what the page calls a place or an
    address, and what it is here."""
    script = written(walk)
    for shown, real in places.items():
        script = script.replace(shown, real)
    said = subprocess.run(
        ["bash", "-c", script], env=env, capture_output=True, text=True, check=False, cwd=cwd, timeout=300
    ).stdout
    for shown, real in places.items():
        said = said.replace(real, shown)
    return spoken(said)


def written(walk: Steps) -> str:
    """The commands as a script for bash, which marks where the output of each begins."""
    lines = ["exec 2>&1 </dev/null"]
    for command, _ in walk:
        # What `make up` and `make down` run once everything is installed.
        lines += [f"printf '\\n{MARK}\\n'", re.sub(r"^make (up|down)$", r"strata-ctl \1", command)]
    return "\n".join(lines)


def spoken(said: str) -> list[list[str]]:
    """What such a script printed: the lines of each command."""
    return [_ended(part) for part in said.split(f"\n{MARK}\n")[1:]]


def _ended(part: str) -> list[str]:
    """Its lines; where PID 1 collects no ended processes, as in a container without an init, `down` says so besides."""
    return [line for line in part.splitlines() if "is still listed as <defunct>" not in line]


def check(walk: Steps, printed: list[list[str]]) -> None:
    """Each command printed what the page shows, but for what differs from run to run."""
    assert len(printed) == len(walk), printed
    for (command, shown), got in zip(walk, printed, strict=True):
        wanted = shown[: shown.index(REST)] if REST in shown else shown
        seen = got[: len(wanted)] if REST in shown else got
        seen, wanted = [plain(line) for line in seen], [plain(line) for line in wanted]
        assert seen == wanted, "\n".join(["", f"$ {command}", "printed:", *seen, "and the page says:", *wanted])


def plain(line: str) -> str:
    """A line without what differs from run to run."""
    try:
        found = json.loads(line)
    except ValueError:
        return _plain_text(line)
    return json.dumps(_still(found)) if isinstance(found, dict) else _plain_text(line)


def _still(value: Any, name: str = "") -> Any:
    """Of an answer, all values but those of VOLATILE, which only have to be there."""
    if isinstance(value, dict):
        return {key: _still(below, key) for key, below in value.items()}
    if isinstance(value, list):
        return [_still(below) for below in value]
    if name in VOLATILE:
        return type(value).__name__
    return re.sub(r"[0-9a-f]{16,}", "ID", value) if isinstance(value, str) else value


def _plain_text(line: str) -> str:
    line = re.sub(r"systemd \d\S*", "systemd VERSION", line)
    line = re.sub(r"[0-9a-f]{16,}", "ID", line)
    line = re.sub(r"\(python[0-9.]*\)", "(python)", line)
    line = re.sub(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b", "DAY", line)
    line = re.sub(r"\d+(min|ms|h|s)? ?(\d+(min|ms|s))?(?= (ago|left))", "N", line)
    line = re.sub(r"\b\d+([.:-]\d+)*(ms|[KMGsh])?\b", "N", line)
    return re.sub(r" +", " ", line).strip()
