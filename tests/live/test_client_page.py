# SPDX-License-Identifier: MIT
"""docs/client.md: every example is run against a real Strata, and prints what the page says."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from node import Node, until

from strata.client import Client
from strata.errors import Unavailable

PAGE = Path(__file__).resolve().parents[2] / "docs/client.md"
OWNER = "alice"
DOOR = "http://127.0.0.1:2280"


class Example(NamedTuple):
    """A program of the page, the heading it stands under, and what it prints."""

    heading: str
    program: str
    printed: str
    http: bool


def examples() -> list[Example]:
    """In the order of the page."""
    found, heading = [], ""
    pattern = r"^#+ ([^\n]*)$|(<!-- http -->\n)?```python\n(.*?)```\n\n```text\n(.*?)```"
    for part in re.finditer(pattern, PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        if part[1] is not None:
            heading = part[1]
        else:
            found.append(Example(heading, part[3], part[4], part[2] is not None))
    return found


EXAMPLES = examples()


@pytest.fixture
def alice(strata: Node) -> Iterator[Node]:
    """Alice has no session and no snapshot, neither before nor after."""
    yield strata
    with Client(strata.manager.paths.socket("sandbox")) as client:
        left = client.sessions(OWNER)
        for found in left:
            client.session(OWNER, found.session).close()
        snapshots = client.session(OWNER, "none").snapshots()
        for snapshot in snapshots:
            client.session(OWNER, "none").remove_snapshot(snapshot.name)
    assert not left
    assert not snapshots


@pytest.mark.parametrize("example", [one for one in EXAMPLES if not one.http], ids=lambda one: one.heading)
def test_the_examples_of_the_page_print_what_it_says(alice: Node, example: Example, tmp_path: Path) -> None:
    assert run(alice, example.program, tmp_path) == example.printed


@pytest.mark.parametrize("example", [one for one in EXAMPLES if one.http], ids=lambda one: one.heading)
def test_the_examples_over_http_do_so_too(alice: Node, example: Example, tmp_path: Path) -> None:
    token = alice.ctl(*token_command())
    assert token.returncode == 0, token.stderr
    (tmp_path / "alice.token").write_text(token.stdout)
    with door(alice, token.stdout.strip()) as url:
        assert run(alice, example.program.replace(DOOR, url), tmp_path) == example.printed


def run(strata: Node, program: str, where: Path) -> str:
    """What a program prints."""
    argv = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(
        argv, cwd=where, env=strata.environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def token_command() -> list[str]:
    """How the page has a token issued."""
    found = re.search(r"```sh\nstrata-ctl (token issue .*?) > alice.token\n```", PAGE.read_text(), re.DOTALL)
    assert found
    return found[1].replace("\\\n", " ").split()


@contextlib.contextmanager
def door(strata: Node, token: str) -> Iterator[str]:
    """An HTTP door of our own before this Strata, at a port that is free; its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    env = strata.environment | {"STRATA_SERVER_ADDR": address}
    with subprocess.Popen([sys.executable, "-m", "strata.api.main"], env=env, stderr=subprocess.PIPE) as process:
        try:
            until(lambda: answers(f"http://{address}", token), "the door answers", 20.0)
            yield f"http://{address}"
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20.0)


def answers(url: str, token: str) -> bool:
    """Whether somebody serves sandboxes there."""
    with Client(url, token=token) as client:
        try:
            return client.stats().max_sessions > 0
        except Unavailable:
            return False


def test_every_program_of_the_page_says_what_it_prints() -> None:
    assert len(EXAMPLES) == PAGE.read_text(encoding="utf-8").count("```python") > 0
