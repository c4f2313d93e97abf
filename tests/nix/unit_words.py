# SPDX-License-Identifier: MIT
"""The text of a unit as a table, and what systemd-analyze has to say of it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

_WORDS = {"true": "yes", "false": "no"}
Table = dict[tuple[str, str], list[str]]


def table(text: str) -> Table:
    """Section and directive to its words, however they are spread over lines and quoted."""
    found: Table = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            words = [_WORDS.get(word.strip('"'), word.strip('"')) for word in value.split()]
            found.setdefault((section, name), []).extend(words)
    return {key: sorted(words) if key[1] == "Environment" else words for key, words in found.items()}


def verify(name: str, text: str, directory: Path) -> str:
    """What systemd-analyze has to say against a unit, with programs that exist on this machine."""
    file = directory / name
    file.write_text(re.sub(r"^(Exec\w+=)\S+", r"\1/bin/true", text, flags=re.MULTILINE))
    argv = ["systemd-analyze", "verify", "--man=no", str(file)]
    said = subprocess.run(argv, capture_output=True, text=True, check=False)
    return "\n".join(line for line in said.stderr.splitlines() if name in line)
