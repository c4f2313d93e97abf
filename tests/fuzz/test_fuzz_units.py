# SPDX-License-Identifier: MIT
"""What systemd itself says of the units that the corpus makes: it knows every line in them, and where it belongs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from engine import target
from targets import manifest as manifests
from targets.unit_shape import PLACES

from strata.errors import InvalidArgument
from strata.units import manifest, properties, render
from strata.units.model import UnitText

_FORGED = re.compile(r"Unknown (key|section|lvalue)|Assignment outside of section|Missing '='|Invalid section header")


def _units() -> list[UnitText]:
    """Of all in the corpus that is a manifest, and that a transient unit could carry on this systemd."""
    found = []
    for number, data in enumerate((*manifests.SEEDS, *target.committed("manifest"))):
        try:
            one = msgspec.structs.replace(manifest.parse(data.decode(), f"fuzz-{number}", "fuzz.toml"), after=())
            units = render.render(one, PLACES[0])
            for unit in units:
                properties.encode(unit, PLACES[0].systemd_version)
        except (InvalidArgument, UnicodeDecodeError):
            continue
        found += units
    return found


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_knows_every_line_of_the_units_that_the_corpus_makes(tmp_path: Path) -> None:
    units = _units()
    for unit in units:
        (tmp_path / unit.name).write_text(unit.text)
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *(tmp_path / unit.name for unit in units)],
        capture_output=True,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:", "SYSTEMD_LOG_LEVEL": "notice"},
    ).stderr.decode(errors="replace")
    assert len(units) >= 8
    assert [line for line in said.splitlines() if _FORGED.search(line)] == []
