# SPDX-License-Identifier: MIT
"""Columns for a person. What a service says of itself is printed, so nothing in it may move the cursor."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, NamedTuple

_CODES = {"green": "32", "yellow": "33", "red": "31", "dim": "2", "bold": "1"}


class Cell(NamedTuple):
    """A text and how it is shown: green, yellow, red, dim, bold, or "" for plain."""

    text: str
    style: str = ""


def wants_colour(stream: IO[str], env: Mapping[str, str] | None = None) -> bool:
    """Only a terminal gets colour, and not when NO_COLOR is set to anything (no-color.org) or the terminal is dumb."""
    env = os.environ if env is None else env
    return stream.isatty() and not env.get("NO_COLOR") and env.get("TERM") != "dumb"


def paint(text: str, style: str, colour: bool) -> str:
    """`text` in the style, or as it is."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if colour and style else text


def printable(value: object) -> str:
    """Text without control characters, so that foreign text cannot act on the terminal or break a line."""
    return "".join(ch if ch.isprintable() else "�" for ch in str(value))


def width(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    return sum(0 if unicodedata.combining(ch) else 2 if unicodedata.east_asian_width(ch) in "WF" else 1 for ch in text)


def render(
    titles: Sequence[str], rows: Iterable[Sequence[Cell | str]], *, right: Sequence[str] = (), colour: bool = False
) -> list[str]:
    """Lines of a table, the titles first; the columns named in `right` are numbers."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(width(title), *(width(row[i].text) for row in cells), 0) for i, title in enumerate(titles)]
    sides = [title in right for title in titles]
    head = [Cell(title, "bold") for title in titles]
    return [_line(row, widths, sides, colour) for row in (head, *cells)]


def _cell(value: Cell | str) -> Cell:
    cell = value if isinstance(value, Cell) else Cell(value)
    return cell._replace(text=printable(cell.text))


def _line(row: Sequence[Cell], widths: Sequence[int], sides: Sequence[bool], colour: bool) -> str:
    parts = []
    for cell, wide, to_right in zip(row, widths, sides, strict=True):
        gap = " " * (wide - width(cell.text))
        shown = paint(cell.text, cell.style, colour)
        parts.append(gap + shown if to_right else shown + gap)
    return "  ".join(parts).rstrip()
