# SPDX-License-Identifier: MIT
"""Strata's package on a Debian 13 machine of its own: what only a PID 1, a boot and a power cut can show.

Each script of this directory is run from the moment when the package is installed and all is Healthy. NixOS runs the
same scripts (NAME.nix beside them). Console and journal of a machine whose test failed are kept in .cache/vm/failed.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from driver import place, qemu, script

HERE = Path(__file__).resolve().parent
FAILED = place.VM / "failed"
SCRIPTS = sorted(HERE.glob("*.py"))
SCRIPTS = [file for file in SCRIPTS if not file.name.startswith("test_")]
LONG = sorted((HERE / "long").glob("*.py"))
LONG_TOO = os.environ.get("STRATA_VM") == "long"
"""`make vm` sets it."""
AT_ONCE = 2

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make the disk of a virtual machine"),
    pytest.mark.skipif(not qemu.installed(), reason="needs QEMU: `apt-get install qemu-system-x86 qemu-utils`"),
    pytest.mark.skipif(not (place.VM / "root.img").exists(), reason="needs a Debian 13 machine: `scripts/vm-image`"),
    pytest.mark.timeout(900),
]


class Told:
    """A log with the seconds since its start."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.lines: list[str] = []

    def __call__(self, text: str) -> None:
        self.lines.append(f"{time.monotonic() - self.started:7.1f} {text}")


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest) -> Iterator[dict[Path, Future[None]]]:
    """The runs of all scripts that were asked for, two machines at a time: most of a script is waiting for one core."""
    told = Told()
    try:
        installed = place.installed(told)
    except BaseException:
        print("\n".join(told.lines))
        raise
    wanted = [item.callspec.params["file"] for item in request.session.items if _asked(item)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {file: pool.submit(_run, file, installed) for file in wanted}
        pool.shutdown(cancel_futures=True)


def _asked(item: pytest.Item) -> bool:
    mine = isinstance(item, pytest.Function) and item.path == Path(__file__)
    return mine and (LONG_TOO or "for_long" not in item.name)


def _run(file: Path, installed: place.Installed) -> None:
    """Raises AssertionError with the log and the end of the journal."""
    told, journals = Told(), []
    with tempfile.TemporaryDirectory(prefix="strata-vm-") as directory:
        machine = place.machine(installed, Path(directory), told)
        try:
            script.run(file, machine, told, lambda broken: journals.append(broken.journal()))
        except Exception as error:
            kept = FAILED / file.stem
            shutil.rmtree(kept, ignore_errors=True)
            kept.mkdir(parents=True)
            shutil.copyfile(Path(directory) / "console.log", kept / "console.log")
            (kept / "journal").write_text("".join(journals))
            tail = "\n".join("".join(journals).splitlines()[-60:])
            log = "\n".join(told.lines)
            raise AssertionError(f"{log}\n\nthe journal ends with:\n{tail}\n\nall of it: {kept}") from error


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.stem)
def test_on_a_machine(file: Path, outcomes: dict[Path, Future[None]]) -> None:
    """The script named here passes."""
    outcomes[file].result()


@pytest.mark.skipif(not LONG_TOO, reason="takes minutes: `make vm` runs it")
@pytest.mark.parametrize("file", LONG, ids=lambda file: file.stem)
def test_on_a_machine_for_long(file: Path, outcomes: dict[Path, Future[None]]) -> None:
    """The script named here passes; it takes minutes."""
    outcomes[file].result()
