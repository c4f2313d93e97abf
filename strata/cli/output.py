# SPDX-License-Identifier: MIT
"""What the verbs print: JSON for a program, lines and tables for a person."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from strata.cli import table
from strata.cli.foreign import in_json, shown
from strata.cli.table import Cell


def document(value: Any) -> None:
    """One JSON document, indented by two."""
    _write(in_json(json.dumps(value, indent=2, ensure_ascii=False)) + "\n")


def record(value: Any) -> None:
    """One line of JSON, at once: a reader that follows must not wait for a buffer to fill."""
    _write(in_json(json.dumps(value, ensure_ascii=False)) + "\n")
    sys.stdout.flush()


def line(text: str = "", style: str = "") -> None:
    """One line for a person, at once."""
    _write(table.paint(text, style, table.wants_colour(sys.stdout)) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """One line about the work itself, on stderr, so that what is piped stays clean."""
    sys.stdout.flush()
    sys.stderr.write(shown(text) + "\n")


def columns(titles: Sequence[str], rows: Iterable[Sequence[Cell | str]], right: Sequence[str] = ()) -> None:
    """A table."""
    for text in table.render(titles, rows, right=right, colour=table.wants_colour(sys.stdout)):
        _write(text + "\n")


def _write(text: str) -> None:
    # A terminal that is not UTF-8, or a file name that is not: shown as escapes, never a crash.
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
