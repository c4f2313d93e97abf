# SPDX-License-Identifier: MIT
"""Each target takes its whole corpus and then some seconds of new inputs. `make fuzz` runs them for an hour."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from engine import target

_SECONDS = os.environ.get("STRATA_FUZZ_SHORT", "2")


@pytest.mark.parametrize("name", target.names())
def test_a_target_takes_its_corpus_and_seconds_of_new_inputs(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "driver.py", name, "--seconds", _SECONDS, "--seed", "1", "--fresh"],
        cwd=target.HERE,
        capture_output=True,
        text=True,
    )
    print(done.stdout.splitlines()[-1] if done.stdout else "")
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-4000:]}"


@pytest.mark.parametrize("name", target.names())
def test_a_committed_corpus_is_small_and_within_the_length_that_its_target_takes(name: str) -> None:
    inputs = target.committed(name)
    assert len(inputs) <= target.MOST_FILES
    assert sum(map(len, inputs)) <= target.MOST_BYTES
