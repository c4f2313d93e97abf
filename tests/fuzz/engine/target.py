# SPDX-License-Identifier: MIT
"""What a target is, where its inputs lie, and how it is loaded with or without instrumentation."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent.parent
ROOT = Path(os.environ.get("STRATA_FUZZ_ROOT", HERE))
"""Where targets, corpora, crashes and logs are: a test of all this brings its own."""
TARGETS = ROOT / "targets"
CRASHES = ROOT / "crashes"
MOST_FILES, MOST_BYTES = 300, 200_000
"""Of one committed corpus."""
MAX_LEN = 4096
RSS_MB = 1024
TIMEOUT_SECONDS = 10


class Target(NamedTuple):
    """A module of targets/, read. `check` returns for what is accepted or properly refused, and raises for the rest."""

    name: str
    check: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    dictionary: tuple[bytes, ...]
    max_len: int
    rss_mb: int
    setup: Callable[[], None] | None
    teardown: Callable[[], None] | None


def names() -> list[str]:
    """Every target."""
    return sorted(path.stem for path in TARGETS.glob("*.py") if "check" in _defined(path))


def coverage_guided() -> bool:
    """Whether atheris is installed, and STRATA_FUZZ_BLIND does not say to do without."""
    return not os.environ.get("STRATA_FUZZ_BLIND") and importlib.util.find_spec("atheris") is not None


def load(name: str, instrumented: bool = False) -> Target:
    """Import the target; with `instrumented`, what its INSTRUMENT names reports its coverage to atheris."""
    path = TARGETS / f"{name}.py"
    if not path.exists():
        sys.exit(f"there is no target {name}; there are: {' '.join(names())}")
    sys.path[:0] = [str(ROOT)] if str(ROOT) not in sys.path else []
    if not instrumented:
        return _read(name)
    import atheris

    # Modules that are loaded before would stay without instrumentation.
    loaded = sorted(module for module in sys.modules if module == "strata" or module.startswith("strata."))
    assert not loaded, f"loaded too early: {loaded}"
    with atheris.instrument_imports(include=_instrumented(path)):
        return _read(name)


def corpus_dir(name: str) -> Path:
    """The committed corpus."""
    return ROOT / "corpus" / name


def found_dir(name: str) -> Path:
    """Inputs that earlier runs on this machine found."""
    return ROOT / ".work" / "found" / name


def committed(name: str) -> list[bytes]:
    """The inputs of the committed corpus, in a fixed order."""
    return [path.read_bytes() for path in sorted(corpus_dir(name).glob("*"))]


def _read(name: str) -> Target:
    module = importlib.import_module(f"targets.{name}")
    return Target(
        name,
        module.check,
        tuple(getattr(module, "SEEDS", ())),
        tuple(getattr(module, "DICTIONARY", ())),
        getattr(module, "MAX_LEN", MAX_LEN),
        getattr(module, "RSS_MB", RSS_MB),
        getattr(module, "setup", None),
        getattr(module, "teardown", None),
    )


def _defined(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_bytes()).body if isinstance(node, ast.FunctionDef)}


def _instrumented(path: Path) -> list[str]:
    """INSTRUMENT, read without importing the module: what it imports must be instrumented first."""
    for node in ast.parse(path.read_bytes()).body:
        assigned = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(to, ast.Name) and to.id == "INSTRUMENT" for to in assigned):
            return list(ast.literal_eval(node.value))
    return ["strata"]
