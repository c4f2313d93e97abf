# SPDX-License-Identifier: MIT
"""A test script run as the NixOS test driver runs it: with `machine`, `subtest`, `start_all` and the like in scope."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from driver.machine import Log, Machine


def run(file: Path, machine: Machine, log: Log, failed: Callable[[Machine], None] = lambda machine: None) -> None:
    """Run it to its end. Raises what it raises, after `failed(machine)`; the machine is powered off in any case."""
    try:
        exec(compile(file.read_text(), str(file), "exec"), _scope(machine, log))
    except BaseException as error:
        log(f"failed: {error}")
        failed(machine)
        raise
    finally:
        if machine.booted:
            machine.crash()


def _scope(machine: Machine, log: Log) -> dict[str, Any]:
    @contextlib.contextmanager
    def subtest(name: str) -> Iterator[None]:
        started = time.monotonic()
        log(f"subtest: {name}")
        try:
            yield
        except Exception:
            log(f"subtest FAILED: {name}")
            raise
        log(f"subtest done in {time.monotonic() - started:.1f} s: {name}")

    return {"machine": machine, "machines": [machine], "start_all": machine.start, "subtest": subtest, "retry": retry}


def retry(fn: Callable[[bool], bool], timeout: int = 900) -> None:
    """Call `fn(False)` once a second until it is true; the last time it is told so."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if fn(False):
            return
        time.sleep(1)
    if not fn(True):
        raise AssertionError(f"action timed out after {timeout} s")
