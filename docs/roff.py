# SPDX-License-Identifier: MIT
"""From the little Markdown that docs/manual is written in to a manual page: man(7), for groff and mandoc.

Known are `# name(section): summary` at the top, `##` and `###`, paragraphs, fenced blocks, `* items`, and definitions:
a line with the term, then one or more that begin with `: `. Within a line: `literal`, *replaceable*, **strong**.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_ESCAPES = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}
"""What groff would print as a typographic sign, and nobody could copy into a shell (groff_char(7))."""

_INLINE = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*")
_TITLE = re.compile(r"# (\S+)\((\d)\): (.+)")


def page(text: str) -> str:
    """The whole page."""
    head, *rest = text.strip().split("\n")
    if not (title := _TITLE.fullmatch(head)):
        raise ValueError(f"a page begins with `# name(section): summary`, and not with {head!r}")
    name, section, summary = title.groups()
    lines = [
        '.\\" SPDX-License-Identifier: MIT',
        '.\\" Written by docs/generate.py from docs/manual; change it there.',
        '.\\" No hyphens within words, for they are often commands; a ragged edge instead of wide gaps.',
        ".nr HY 0",
        f'.TH {escaped(name.upper())} {section} "" "Strata" "Strata"',
        ".ad l",
        ".SH NAME",
        f"{escaped(name)} \\- {inline(summary)}",
    ]
    return "\n".join([*lines, *_blocks(rest)]) + "\n"


def escaped(text: str) -> str:
    """Text as it stands, within a line."""
    plain = "".join(_ESCAPES.get(character, character) for character in text)
    return re.sub(r"[^\x00-\x7f]", lambda found: f"\\[u{ord(found[0]):04X}]", plain)


def inline(text: str) -> str:
    """A line of prose; one that begins with a dot or a quote is no request."""
    parts, end = [], 0
    for found in _INLINE.finditer(text):
        parts += [_prose(text[end : found.start()]), _font(found)]
        end = found.end()
    made = "".join([*parts, _prose(text[end:])])
    return f"\\&{made}" if made[:1] in (".", "'") else made


def _prose(text: str) -> str:
    # A hyphen between letters may be one; all else that looks like a minus is typed somewhere.
    return re.sub(r"(?<=[A-Za-z])\\-(?=[A-Za-z])", "-", escaped(text).replace("\\(aq", "'"))


def _font(found: re.Match[str]) -> str:
    literal, strong, replaceable = found.groups()
    return f"\\fI{escaped(replaceable)}\\fR" if replaceable else f"\\fB{escaped(literal or strong)}\\fR"


def _blocks(lines: list[str]) -> Iterator[str]:
    at = 0
    while at < len(lines):
        line = lines[at]
        taken = 1
        if line.startswith("### "):
            yield f'.SS "{inline(line[4:])}"'
        elif line.startswith("## "):
            yield f'.SH "{inline(line[3:].upper())}"'
        elif line.startswith("```"):
            taken = lines.index("```", at + 1) - at + 1
            yield from _example(lines[at + 1 : at + taken - 1])
        elif line.startswith("* "):
            taken = _run(lines, at + 1, "  ") - at
            yield from (".IP \\(bu 2", inline(_joined([line[2:], *lines[at + 1 : at + taken]])))
        elif line and at + 1 < len(lines) and lines[at + 1].startswith(": "):
            taken = _run(lines, at + 1, ": ", "  ") - at
            yield from _definition(line, lines[at + 1 : at + taken])
        elif line:
            taken = _paragraph(lines, at) - at
            yield from (".PP", inline(_joined(lines[at : at + taken])))
        at += taken


def _run(lines: list[str], at: int, *marks: str) -> int:
    """The end of the lines from `at` that begin with one of the marks."""
    while at < len(lines) and lines[at].startswith(marks):
        at += 1
    return at


def _paragraph(lines: list[str], at: int) -> int:
    while at < len(lines) and lines[at] and not lines[at].startswith(("#", "```", "* ")):
        at += 1
    return at


def _joined(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines)


def _definition(term: str, lines: list[str]) -> Iterator[str]:
    yield from (".TP", inline(term))
    paragraphs: list[list[str]] = []
    for line in lines:
        if line.startswith(": "):
            paragraphs.append([])
        paragraphs[-1].append(line[2:])
    for number, paragraph in enumerate(paragraphs):
        if number:
            yield ".sp"
        yield inline(_joined(paragraph))


def _example(lines: list[str]) -> Iterator[str]:
    yield from (".PP", ".RS 4", ".EX")
    for line in lines:
        made = escaped(line)
        yield f"\\&{made}" if made[:1] in (".", "'") else made
    yield from (".EE", ".RE")
