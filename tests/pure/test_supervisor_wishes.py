# SPDX-License-Identifier: MIT
"""Where the supervisor keeps what the operator wished stopped: beside the sockets, whoever made the directories."""

from __future__ import annotations

from pathlib import Path

import pytest

from strata.paths import Paths
from strata.supervisor import main

PATHS = Paths(Path("/run/strata"), Path("/var/lib/strata"), Path("/etc/strata"))


@pytest.mark.parametrize(
    ("made", "kept"),
    [
        ("/run/strata-supervisor", "/run/strata-supervisor"),
        ("/run/strata:/run/strata-supervisor", "/run/strata-supervisor"),
        ("/run/strata", "/run/strata/supervisor"),
        ("", "/run/strata/supervisor"),
        (None, "/run/strata/supervisor"),
    ],
)
def test_wishes_are_never_files_among_the_sockets(made: str | None, kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    if made is not None:
        monkeypatch.setenv("RUNTIME_DIRECTORY", made)
    assert main._own_directory(PATHS) == Path(kept)
