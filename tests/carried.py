# SPDX-License-Identifier: MIT
"""What this Python and Strata's programs are made of, for a file tree that has none of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import strata

PROGRAMS = ("bwrap", "mke2fs")


def into(tree: Path) -> list[Path]:
    """Paths of this machine that the tree lacks: the interpreter with its library and packages, what a session is
    started with, and the libraries that all of these load."""
    environment, packages, library = Path(sys.prefix), Path(strata.__file__).parents[1], Path(os.__file__).parent
    programs = [*_links(Path(sys.executable)), *map(_program, PROGRAMS)]
    loaded = _loaded([*programs, *library.rglob("*.so"), *environment.rglob("*.so")])
    directories = [path for path in (environment, library) if not path.is_relative_to(packages)]
    files = [path for path in (*programs, *loaded) if not path.is_relative_to(packages)]
    return [packages, *directories, *(path for path in files if not os.path.lexists(f"{tree}{path}"))]


def _links(path: Path) -> Iterator[Path]:
    """The path, and each place that it leads to."""
    yield path
    while path.is_symlink():
        path = path.parent / path.readlink()
        yield path


def _program(name: str) -> Path:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert found, f"{name} is not installed"
    return Path(found)


def _loaded(files: Iterable[Path]) -> list[Path]:
    said = subprocess.run(["ldd", *files], capture_output=True, text=True, check=False).stdout
    return sorted({Path(word) for line in said.splitlines() if "=>" in line for word in line.split() if word[0] == "/"})
