# SPDX-License-Identifier: MIT
"""One run of one target in a process of its own, watched from here, and what came of it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from engine import target

_RUNS = re.compile(r"stat::number_of_executed_units: (\d+)|\"runs\": (\d+)")
_COVERAGE = re.compile(r"cov: (\d+) ft: (\d+)")
_MEMORY = re.compile(r"stat::peak_rss_mb: +(\d+)")
HEADER = f"{'target':<20}{'runs':>11}{'seconds':>10}{'runs/s':>9}{'cov':>7}{'ft':>7}{'MiB':>6}{'crashes':>9}"
_STARTING_SECONDS = 60  # imports, instrumentation, and the corpus, on a loaded machine


class Outcome(NamedTuple):
    """What one run did. `features` is libFuzzer's `ft`: edges, and how often; 0 without coverage."""

    name: str
    runs: int
    seconds: float
    coverage: int
    features: int
    peak_mb: int
    crashes: int

    def __str__(self) -> str:
        rate = self.runs / max(self.seconds, 0.001)
        return (
            f"{self.name:<20}{self.runs:>11}{self.seconds:>10.1f}{rate:>9.0f}"
            f"{self.coverage:>7}{self.features:>7}{self.peak_mb:>6}{self.crashes:>9}"
        )


def fuzz(name: str, seconds: float, found: Path, seed: int = 0) -> Outcome:
    """Replay the corpus, then mutate it for `seconds`; what is new goes into `found`. A crash is printed and kept."""
    found.mkdir(parents=True, exist_ok=True)
    target.CRASHES.mkdir(exist_ok=True)
    before = _crashes(name)
    with _scratch(name) as scratch:
        said, code, took = _run(name, _options(name, seed), [found, *_known(name)], scratch, seconds, seed)
    new = sorted(path for path, _ in _crashes(name) - before)
    if code != 0 or new:
        _tell(name, code, said, new)
    figures = [max(map(int, filter(None, match)), default=0) for match in _RUNS.findall(said)[-1:]]
    coverage = _COVERAGE.findall(said)[-1:] or [("0", "0")]
    memory = _MEMORY.findall(said)[-1:] or ["0"]
    crashes = max(len(new), int(code != 0))
    return Outcome(name, *(figures or [0]), took, int(coverage[0][0]), int(coverage[0][1]), int(memory[0]), crashes)


def minimise(name: str) -> int:
    """Write the committed corpus anew: what is needed of all known inputs, the smallest first. libFuzzer's code."""
    target.CRASHES.mkdir(exist_ok=True)
    with _scratch(name) as scratch:
        kept = scratch / "kept"
        kept.mkdir()
        known = [kept, *_known(name), *_there(target.found_dir(name))]
        said, code, _ = _run(name, [*_options(name, 1), "-merge=1"], known, scratch)
        if code != 0:
            _tell(name, code, said, [])
            return code
        _replace(name, kept, {path.name for path in (scratch / "seeds").iterdir()})
    return 0


def _replace(name: str, kept: Path, seeds: set[str]) -> None:
    into, total = target.corpus_dir(name), 0
    if into.exists():
        shutil.rmtree(into)
    into.mkdir(parents=True)
    for count, path in enumerate(sorted(kept.iterdir(), key=lambda path: (path.stat().st_size, path.name))):
        total += path.stat().st_size
        if count >= target.MOST_FILES or total > target.MOST_BYTES:
            print(f"{name}: {count} of {len(list(kept.iterdir()))} inputs fit into the committed corpus")
            break
        if path.name not in seeds:
            shutil.copyfile(path, into / path.name)


def _run(
    name: str,
    options: Sequence[str],
    inputs: Sequence[Path],
    scratch: Path,
    seconds: float = 0,
    seed: int = 0,
) -> tuple[str, int, float]:
    """What the worker said, its exit status, and the seconds it took. Nothing that it started is left."""
    command = [sys.executable, "-m", "engine.worker", name]
    again = scratch / "again"
    again.write_text(f'#!/bin/sh\nexec {" ".join(command)} "$@"\n')
    again.chmod(0o755)
    environment = {
        **os.environ,
        "STRATA_FUZZ_SECONDS": str(seconds),
        "STRATA_FUZZ_SEED": str(seed or 1),
        "STRATA_FUZZ_AGAIN": str(again),
        "STRATA_FUZZ_SCRATCH": str(scratch),
        "PYTHONPATH": f"{target.ROOT}:{target.HERE}:{target.HERE.parent.parent}",
        "PYTHONHASHSEED": "0",
        "TMPDIR": str(scratch),
    }
    arguments = [*options, *map(str, inputs)] if target.coverage_guided() else []
    began = time.monotonic()
    with (scratch / "said").open("w+b") as said:
        process = subprocess.Popen(
            [*command, *arguments], cwd=target.HERE, env=environment, stdout=said, stderr=said, start_new_session=True
        )
        code = _ended(process, seconds)
        said.seek(0)
        return said.read().decode(errors="replace"), code, time.monotonic() - began


def _ended(process: subprocess.Popen[bytes], seconds: float) -> int:
    try:
        return process.wait(2 * seconds + _STARTING_SECONDS if seconds else None)
    except subprocess.TimeoutExpired:
        return 124  # neither its own clock nor libFuzzer's stopped it
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _options(name: str, seed: int) -> list[str]:
    return [
        f"-timeout={target.TIMEOUT_SECONDS}",
        f"-artifact_prefix={target.CRASHES}/{name}-",
        f"-seed={seed}",
        "-print_final_stats=1",
    ]


def _known(name: str) -> list[Path]:
    return _there(target.corpus_dir(name))


def _there(directory: Path) -> list[Path]:
    return [directory] if directory.is_dir() else []


def _crashes(name: str) -> set[tuple[Path, int]]:
    return {(path, path.stat().st_mtime_ns) for path in target.CRASHES.glob(f"{name}-*")}


def _tell(name: str, code: int, said: str, new: Sequence[Path]) -> None:
    text = said if len(said) < 20_000 else f"{said[:2000]}\n…\n{said[-18_000:]}"
    print(f"--- {name} ended with status {code}\n{text}")
    for path in new:
        print(f"--- {path.name}: {path.read_bytes()[:2000]!r}")
    print(f"--- repeat it: python driver.py {name} --repeat crashes/…", flush=True)


@contextlib.contextmanager
def _scratch(name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=f"strata-fuzz-{name}-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)
