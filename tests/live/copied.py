# SPDX-License-Identifier: MIT
"""Strata installed a second time, in a directory of its own whose code can be taken away and replaced while it runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import strata

# Not /run or /tmp: links within one file system are made at once, and code there is hidden from no service.
_CACHE = Path(strata.__file__).parents[1] / ".cache"
_UNUSED = {"strata", "mypy", "mypyc", "Cython", "grpc_tools", "hypothesis", "_pytest", "grpc", "pip", "ruff"}


@dataclass(frozen=True)
class Copy:
    """A virtual environment below `root` with copies of Strata's own files and links to all others."""

    root: Path

    @property
    def python(self) -> Path:
        return self.root / "bin/python"

    @property
    def packages(self) -> Path:
        return self.root / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"

    def file(self, name: str) -> Path:
        """One of Strata's own, by its path in the package."""
        return self.packages / "strata" / name

    def change(self, name: str, change: Callable[[str], str]) -> None:
        """Write a file of Strata's own anew, with nothing of the old left: who has it open keeps that."""
        file = self.file(name)
        text = change(file.read_text())
        file.unlink()
        file.write_text(text)
        shutil.rmtree(file.parent / "__pycache__", ignore_errors=True)

    def take_away(self) -> None:
        """All code, libraries included, as a package manager that replaces them does for a moment."""
        (self.root / "lib").rename(self.root / "gone")

    def bring_back(self) -> None:
        (self.root / "gone").rename(self.root / "lib")

    def ctl(self, *arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """`strata-ctl` of this installation."""
        return subprocess.run(
            [self.python, "-P", "-m", "strata", *arguments],
            cwd="/",
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


@contextlib.contextmanager
def installed() -> Iterator[Copy]:
    """A copy of this checkout, removed at the end."""
    copy = Copy(_CACHE / f"copy-{os.getpid()}-{uuid.uuid4().hex[:6]}")
    try:
        copy.python.parent.mkdir(parents=True)
        copy.python.symlink_to(os.path.realpath(sys.executable))
        home = Path(os.path.realpath(sys.executable)).parent
        (copy.root / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
        copy.packages.mkdir(parents=True)
        for entry in Path(sysconfig.get_path("purelib")).iterdir():
            if entry.name not in _UNUSED and not entry.name.startswith("__editable__"):
                _link(entry, copy.packages / entry.name)
        ours = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(strata.__file__).parent, copy.packages / "strata", ignore=ours)
        yield copy
    finally:
        shutil.rmtree(copy.root, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link_file)
    else:
        _link_file(str(source), str(target))


def _link_file(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
