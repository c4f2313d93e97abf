# SPDX-License-Identifier: MIT
"""Which accelerator truly boots a kernel here: /dev/kvm may open and yet run no guest."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from driver.qemu import PROGRAM

_SECONDS = 5.0
_STARTED = "Run /init"


def choose(kernel: Path, initrd: Path) -> str:
    """`kvm` when a kernel came as far as its first program with it, else `tcg`."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    command = [PROGRAM, "-accel", "kvm", "-cpu", "host", "-m", "256", "-nodefaults", "-display", "none", "-no-reboot"]
    command += ["-kernel", str(kernel), "-initrd", str(initrd), "-append", "console=ttyS0 panic=-1", "-serial", "stdio"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as trial:
        assert trial.stdout
        os.set_blocking(trial.stdout.fileno(), False)
        try:
            return "kvm" if _boots(trial.stdout.fileno()) else "tcg"
        finally:
            trial.kill()


def _boots(console: int) -> bool:
    said, deadline = "", time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        try:
            data = os.read(console, 1 << 16)
        except BlockingIOError:
            time.sleep(0.05)
            continue
        said += data.decode(errors="replace")
        if _STARTED in said:
            return True
        if not data or "KVM internal error" in said:
            return False
    return False
