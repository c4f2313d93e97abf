# SPDX-License-Identifier: MIT
"""`strata-ctl token` on a running Strata, as its users type it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from node import Node


@pytest.fixture
def held(strata: Node, tmp_path: Path) -> Path:
    """A file with a fresh token in it."""
    said = strata.ctl("token", "issue", "--service", "fs", "--action", "open,read", "--path-prefix", "/tmp", "--quiet")
    assert said.returncode == 0, said.stderr
    file = tmp_path / "token"
    file.write_text(said.stdout)
    return file


def test_a_token_that_is_good_is_said_to_be(strata: Node, held: Path) -> None:
    said = strata.ctl("token", "inspect", f"@{held}")
    assert (said.returncode, said.stdout.splitlines()[0]) == (0, "good: yes")
    assert "path_prefix: /tmp" in said.stdout


def test_a_child_of_a_revoked_token_is_not_said_to_be_good(strata: Node, held: Path) -> None:
    child = held.with_name("child")
    child.write_text(strata.ctl("token", "attenuate", f"@{held}", "--action", "open", "--quiet").stdout)
    revoked = strata.ctl("token", "revoke", f"@{held}")
    assert revoked.returncode == 0, revoked.stderr
    assert revoked.stdout.startswith("revoked ")
    said = strata.ctl("token", "inspect", f"@{child}")
    assert (said.returncode, said.stdout.splitlines()[0]) == (1, "good: no, capability revoked")
    shown = strata.ctl("token", "inspect", "--json", f"@{child}")
    assert (shown.returncode, json.loads(shown.stdout)["active"]) == (1, False)


def test_a_span_must_be_more_than_nothing(strata: Node) -> None:
    for arguments in (("status", "--timeout", "0"), ("token", "issue", "-s", "fs", "-a", "open", "--ttl", "infinity")):
        said = strata.ctl(*arguments)
        assert (said.returncode, said.stdout) == (1, "")
        assert "it must be more than 0 and have an end" in said.stderr
