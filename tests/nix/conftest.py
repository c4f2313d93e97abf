# SPDX-License-Identifier: MIT
"""One store for all tests of the Nix files; and the checkout of nixpkgs that they run on as well, if there is one."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from evaluation import NEEDS_TREE, Nix, copy_sources, remove


@pytest.fixture(scope="session")
def nix() -> Iterator[Nix]:
    """Nix on the stand-in."""
    if shutil.which("nix-instantiate") is None:
        pytest.skip("needs Nix: `apt-get install --no-install-recommends nix-bin`")
    directory = Path(tempfile.mkdtemp(prefix="strata-nix-"))
    try:
        yield Nix(directory, copy_sources(directory / "flake"))
    finally:
        remove(directory)


@pytest.fixture(scope="session")
def real(nix: Nix) -> Nix:
    """Nix on the real nixpkgs."""
    if not os.environ.get("NIXPKGS"):
        pytest.skip(NEEDS_TREE)
    return nix.on(Path(os.environ["NIXPKGS"]).resolve())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `either` runs on the stand-in, and on the real tree where there is one."""
    if "either" in metafunc.fixturenames:
        trees = ["nix", "real"] if os.environ.get("NIXPKGS") else ["nix"]
        metafunc.parametrize("either", trees, indirect=True, ids=["stand-in", "nixpkgs"][: len(trees)])


@pytest.fixture
def either(request: pytest.FixtureRequest) -> Nix:
    """Nix on one tree or the other."""
    found: Nix = request.getfixturevalue(request.param)
    return found
