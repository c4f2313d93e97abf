# SPDX-License-Identifier: MIT
"""A few minutes of mixed load on a Strata of its own: nothing grows, nothing is left, no answer is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = Path(__file__).with_name("driver.py")
MINUTES = float(os.environ.get("STRATA_SOAK_MINUTES") or 5)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a systemd of its own")
@pytest.mark.timeout(MINUTES * 60 + 240)
def test_nothing_grows_under_a_mixed_load(tmp_path: Path) -> None:
    """The report says what does, and by how much; STRATA_SOAK_MINUTES makes it longer."""
    log = tmp_path / "soak.log"
    command = [sys.executable, str(DRIVER), f"--minutes={MINUTES}", "--seed=1", f"--report={tmp_path}"]
    with log.open("w") as out:
        # A session of its own, and SIGTERM: it takes its Strata down before it ends.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        try:
            code = process.wait()
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(60)
    assert code == 0, log.read_text()
