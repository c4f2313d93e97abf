# SPDX-License-Identifier: MIT
"""Programs of the peers: where they are, and which they are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence

from benchmarks.peers.contract import Tools

_DIRECTORIES = ("usr/bin", "usr/sbin")


def find(tools: Tools, program: str) -> str:
    """The path of a program, the machine's own first; "" when there is none."""
    unpacked = os.pathsep.join(str(tools.peers / "debian" / name) for name in _DIRECTORIES)
    return shutil.which(program) or shutil.which(program, path=unpacked) or ""


def environment(tools: Tools, *programs: str) -> dict[str, str]:
    """For programs that may be unpacked ones: their libraries are beside them."""
    debian = tools.peers / "debian"
    names = [str(debian / name) for name in _DIRECTORIES]
    env = {"PATH": os.pathsep.join([os.environ["PATH"], *names]), "HOME": str(tools.scratch)}
    if any(find(tools, program).startswith(str(debian)) for program in programs):
        libraries = [path.parent for path in (debian / "usr/lib").rglob("*.so*")]
        env["LD_LIBRARY_PATH"] = os.pathsep.join(sorted({str(path) for path in libraries}))
    return env


def lacking(*programs: str, root: bool = True) -> Callable[[Tools], str]:
    """Says why a peer cannot run: it lacks one of these, or is not root."""

    def missing(tools: Tools) -> str:
        absent = [program for program in programs if not find(tools, program)]
        if absent:
            return f"not installed: {', '.join(absent)} (scripts/bench-peers fetches what can be had)"
        return "needs root" if root and os.geteuid() else ""

    return missing


def said(tools: Tools, argv: Sequence[str], programs: Sequence[str] = ()) -> str:
    """What a program prints. Raises RuntimeError with its words when it fails."""
    env = environment(tools, *programs)
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: exit code {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def version(program: str, *arguments: str) -> Callable[[Tools], str]:
    """Asks a program for its version: the first word of what it says that begins with a digit."""

    def ask(tools: Tools) -> str:
        text = said(tools, [find(tools, program), *(arguments or ("--version",))], [program])
        found = re.search(r"\b\d[\w.+~-]*", text)
        return found[0] if found else text.partition("\n")[0]

    return ask
