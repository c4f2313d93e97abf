# SPDX-License-Identifier: MIT
"""The process in which one target runs; campaign.py starts it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from engine import target
from engine.mutation import mutated


def main() -> None:
    """Fuzz until STRATA_FUZZ_SECONDS are over (0: until libFuzzer says so), or an input crashes."""
    name, arguments = sys.argv[1], sys.argv[2:]
    logging.getLogger().addHandler(logging.NullHandler())  # what a target logs is none of the terminal's business
    seconds = float(os.environ.get("STRATA_FUZZ_SECONDS", "0"))
    if target.coverage_guided():
        _guided(name, arguments, seconds)
    else:
        _random(name, seconds)


def repeat(name: str, files: list[Path]) -> int:
    """Run the inputs of `files` without instrumentation; 1 when one crashes."""
    it, failed = target.load(name), 0
    if it.setup:
        it.setup()
    for file in files:
        try:
            it.check(file.read_bytes())
            print(f"{file}: fine")
        except Exception:  # noqa: BLE001  that is what was asked for
            failed = 1
            print(f"{file}: {file.read_bytes()[:2000]!r}\n{traceback.format_exc()}")
    if it.teardown:
        it.teardown()
    return failed


def _guided(name: str, arguments: list[str], seconds: float) -> None:
    import atheris

    it = target.load(name, instrumented=True)
    if it.setup:
        it.setup()
    inputs = [*(Path(argument) for argument in arguments if not argument.startswith("-")), _seeds(it)]
    check = _timed(it, seconds, sum(len(list(directory.iterdir())) for directory in inputs)) if seconds else it.check
    # libFuzzer starts itself anew for a merge, by its first argument.
    atheris.Setup([os.environ["STRATA_FUZZ_AGAIN"], *arguments, *_options(it, arguments)], check)
    atheris.Fuzz()


def _options(it: target.Target, arguments: list[str]) -> list[str]:
    options = [f"-max_len={it.max_len}", f"-rss_limit_mb={it.rss_mb}"]
    if it.dictionary:
        words = _scratch() / "words"
        words.write_text("".join(f'"{_quoted(word)}"\n' for word in it.dictionary))
        options.append(f"-dict={words}")
    inner = any(argument.startswith("-merge_inner") for argument in arguments)
    return options if inner else [*options, str(_seeds(it))]


def _quoted(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _seeds(it: target.Target) -> Path:
    directory = _scratch() / "seeds"
    directory.mkdir(exist_ok=True)
    for data in it.seeds:
        (directory / hashlib.sha1(data).hexdigest()).write_bytes(data)
    return directory


def _scratch() -> Path:
    return Path(os.environ["STRATA_FUZZ_SCRATCH"])


def _timed(it: target.Target, seconds: float, inputs: int) -> Callable[[bytes], None]:
    """`check` that ends the run by itself: libFuzzer's own end leaves no room for a teardown."""
    state = {"left": inputs + 1, "end": 0.0}

    def check(data: bytes) -> None:
        if state["end"] == -1:
            return
        it.check(data)
        if state["left"] > 0:  # the corpus is replayed whole, however long it takes
            state["left"] -= 1
            state["end"] = time.monotonic() + seconds
        elif time.monotonic() > state["end"]:
            state["end"] = -1
            if it.teardown:
                it.teardown()
            os.kill(os.getpid(), signal.SIGUSR1)  # libFuzzer prints its figures and leaves

    return check


def _random(name: str, seconds: float) -> None:
    it = target.load(name)
    if it.setup:
        it.setup()
    pool = [b"", *it.seeds, *target.committed(name)]
    source, runs = random.Random(int(os.environ["STRATA_FUZZ_SEED"])), 0
    signal.signal(signal.SIGALRM, _late)
    resource.setrlimit(resource.RLIMIT_DATA, (it.rss_mb << 20, it.rss_mb << 20))
    for data in pool:
        _try(it, data)
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        _try(it, mutated(source, pool, it.dictionary, it.max_len))
        runs += 1
    if it.teardown:
        it.teardown()
    print(json.dumps({"runs": runs + len(pool)}), file=sys.stderr)


def _try(it: target.Target, data: bytes) -> None:
    signal.alarm(target.TIMEOUT_SECONDS)
    try:
        it.check(data)
    except BaseException:  # noqa: BLE001  a SystemExit is a crash too
        traceback.print_exc()
        kept = target.CRASHES / f"{it.name}-crash-{random.Random(data).getrandbits(64):016x}"
        kept.write_bytes(data)
        os._exit(77)
    finally:
        signal.alarm(0)


def _late(*_: object) -> None:
    raise TimeoutError(f"one input took longer than {target.TIMEOUT_SECONDS} s")


if __name__ == "__main__":
    main()
