# SPDX-License-Identifier: MIT
"""Completion as it is felt: a real bash on a terminal, its Tab key, and the file that is installed."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "strata/completion/strata-ctl.bash"
PROMPT = b"ready> "
SECONDS = 20.0


class Bash:
    """An interactive bash, and what it has shown so far."""

    def __init__(self, terminal: int) -> None:
        self.terminal, self.screen = terminal, b""

    def until(self, mark: bytes) -> bytes:
        """What it shows up to `mark`; fails when that does not come."""
        deadline = time.monotonic() + SECONDS
        while mark not in self.screen:
            ready, _, _ = select.select([self.terminal], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{mark!r} did not come after {self.screen!r}"
            self.screen += os.read(self.terminal, 4096)
        shown, _, self.screen = self.screen.partition(mark)
        return shown

    def type(self, keys: bytes) -> None:
        os.write(self.terminal, keys)


@pytest.fixture
def bash(tmp_path: Path) -> Iterator[Bash]:
    """It has read the installed file, and finds strata-ctl where this interpreter is."""
    terminal, inside = pty.openpty()
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PS1": PROMPT.decode(),
        "TERM": "dumb",
        "HOME": str(tmp_path),
        "STRATA_RUNTIME_DIR": str(tmp_path / "run"),
    }
    argv = ["bash", "--norc", "--noprofile", "-i"]
    child = subprocess.Popen(
        argv, stdin=inside, stdout=inside, stderr=inside, env=env, cwd=tmp_path, start_new_session=True
    )
    os.close(inside)
    shell = Bash(terminal)
    try:
        shell.until(PROMPT)
        shell.type(f"bind 'set enable-bracketed-paste off' 'set show-all-if-ambiguous on'; source {SCRIPT}\n".encode())
        shell.until(b"\n")
        shell.until(PROMPT)
        yield shell
    finally:
        child.kill()
        child.wait()
        os.close(terminal)


@pytest.mark.parametrize(
    ("typed", "becomes"),
    [
        (b"strata-ctl embed", b"strata-ctl embedded "),
        (b"strata-ctl token att", b"strata-ctl token attenuate "),
        (b"strata-ctl up --mo", b"strata-ctl up --mode "),
        (b"strata-ctl up --mode sys", b"strata-ctl up --mode system "),
        (b"strata-ctl exec --std", b"strata-ctl exec --stdin "),
    ],
)
def test_tab_completes_what_there_is_one_of(bash: Bash, typed: bytes, becomes: bytes) -> None:
    bash.type(typed + b"\t")
    bash.until(becomes)


def test_tab_shows_what_there_are_several_of(bash: Bash) -> None:
    bash.type(b"strata-ctl sandbox f\t")
    bash.until(b"\n")
    assert set(bash.until(PROMPT).split()) == {b"files", b"fork", b"freeze"}


def test_a_file_is_completed_where_a_file_is_wanted(bash: Bash, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    bash.type(b"strata-ctl cp no\t")
    bash.until(b"cp notes.txt")
