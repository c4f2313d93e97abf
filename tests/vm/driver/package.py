# SPDX-License-Identifier: MIT
"""The Debian package that the machine is given, and a later version of it, built by the project's own script."""

from __future__ import annotations

import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
NEWER = "99.0"


def build(version: str = "") -> Path:
    """The package for Debian 13; built only when there is none of these sources."""
    tree = subprocess.run(["scripts/build-tree"], cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True).stdout
    command = ["scripts/deb", "--tree", tree.split()[-1], *(["--version", version] if version else [])]
    said = subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True).stdout
    return REPOSITORY / said.split()[-1]
