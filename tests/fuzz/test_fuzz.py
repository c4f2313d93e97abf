# SPDX-License-Identifier: MIT
"""Each target takes its whole corpus and then some seconds of new inputs. `make fuzz` runs them for an hour."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

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


_BROKEN = """
from strata import values
from strata.errors import InvalidArgument
INSTRUMENT = ("strata.values",)
SEEDS = (b"5ms", b"no")
def check(data):
    if data.startswith({trigger!r}):
        {fault}
    try:
        values.microseconds(data.decode("latin-1"))
    except InvalidArgument:
        pass
"""


def _driven(root: Path, *arguments: str, blind: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "driver.py", "broken", *arguments],
        cwd=target.HERE,
        env={**os.environ, "STRATA_FUZZ_ROOT": str(root), "STRATA_FUZZ_BLIND": "1" if blind else ""},
        capture_output=True,
        text=True,
    )


def _with(root: Path, trigger: bytes, fault: str) -> Path:
    (root / "targets").mkdir()
    (root / "targets" / "broken.py").write_text(_BROKEN.format(trigger=trigger, fault=fault))
    return root


@pytest.mark.parametrize("blind", [False, True])
def test_a_crash_is_told_with_its_input_kept_and_can_be_repeated(tmp_path: Path, blind: bool) -> None:
    root = _with(tmp_path, b"n", "raise ZeroDivisionError('found')")
    done = _driven(root, "--seconds", "20", blind=blind)
    assert done.returncode == 1
    assert "ZeroDivisionError: found" in done.stdout
    (kept,) = (root / "crashes").iterdir()
    assert f"{kept.name}: {kept.read_bytes()!r}" in done.stdout
    again = _driven(root, "--repeat", str(kept))
    assert again.returncode == 1
    assert "ZeroDivisionError: found" in again.stdout


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
def test_an_input_that_takes_too_much_memory_is_a_crash(tmp_path: Path) -> None:
    root = _with(tmp_path, b"n", "import time; kept = b'x' * (1 << 31); time.sleep(3)")
    done = _driven(root, "--seconds", "20")
    assert done.returncode == 1
    assert "out-of-memory" in done.stdout


def test_without_coverage_inputs_are_changed_at_random_and_that_is_said(tmp_path: Path) -> None:
    done = _driven(_with(tmp_path, b"never", "pass"), "--seconds", "1", blind=True)
    assert done.returncode == 0
    assert "no coverage" in done.stdout
    assert int(done.stdout.splitlines()[-1].split()[1]) > 10
    assert "broken" in _driven(tmp_path, "--totals").stdout
