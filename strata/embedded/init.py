# SPDX-License-Identifier: MIT
"""The program that becomes the private PID 1: `python -m strata.embedded.init PLAN`, started by boot and nobody else.

It runs without site-packages and imports the standard library alone, so that it is quick and holds nothing of its
starter. It says "PID n" on its standard output, waits for a line on its standard input, and then is silent (systemd
runs) or says why not. If its starter dies before that line, it ends: no half-booted systemd is left unrecorded.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from strata.embedded import cgroups, tree
from strata.embedded import namespaces as ns


def main(plan: dict[str, Any]) -> None:
    """Join the cgroups, leave the machine's namespaces, and fork the process that they are for."""
    try:
        cgroups.join(map(Path, plan["cgroups"]))
        # The cgroup namespace comes last: what it shows as its root is where this process is by now.
        ns.unshare(ns.NEWNS | ns.NEWPID | ns.NEWIPC | ns.NEWUTS | ns.NEWCGROUP)
        child = os.fork()
    except OSError as error:
        _report(1, str(error))
        sys.exit(1)
    if child:
        _report(1, f"PID {child}")
        # PID 1's parent is the machine's own init from here on, which is there to reap it.
        os._exit(0)
    _become_systemd(plan)


def _become_systemd(plan: dict[str, Any]) -> NoReturn:
    report = os.dup(1)  # closed on exec, which is how the starter learns that all went well
    try:
        os.setsid()
        if not sys.stdin.readline():
            os._exit(1)
        _standard_streams(plan["log"])
        tree.build(plan["root"], plan["carried"], plan["layout"], plan["log"])
        os.execve(plan["argv"][0], plan["argv"], plan["env"])  # noqa: S606 - to become systemd is the point
    except OSError as error:
        _report(report, str(error))
    os._exit(1)


def _standard_streams(log: str) -> None:
    null, out = os.open("/dev/null", os.O_RDWR), os.open(log, os.O_WRONLY | os.O_APPEND)
    for fd, source in ((0, null), (1, out), (2, out)):
        os.dup2(source, fd)
    os.umask(0o022)


def _report(fd: int, line: str) -> None:
    os.write(fd, f"{line}\n".encode())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
