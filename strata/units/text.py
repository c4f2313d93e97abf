# SPDX-License-Identifier: MIT
"""Unit text to assignments, and words to quoted text and back (systemd.syntax(7), systemd.service(5) COMMAND LINES)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from strata.errors import InvalidArgument

_WHITESPACE = " \t\n\r"
_SIMPLE = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, '"': 34, "'": 39, "s": 32}
_NUMERIC = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})", re.ASCII)
_BARE = re.compile(r"[A-Za-z0-9_@%+=:,./-]+", re.ASCII)


class Assignment(NamedTuple):
    """One `Directive=value` line. An empty value resets what earlier ones gathered."""

    section: str
    name: str
    value: str
    line: int


def parse(text: str) -> tuple[Assignment, ...]:
    """Every assignment of a unit file, in order. Raises InvalidArgument with the line for whatever is none."""
    found: list[Assignment] = []
    section = ""
    for number, line in _logical_lines(text):
        if line.startswith("["):
            section = _section(line, number)
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip(_WHITESPACE) or not section:
            raise InvalidArgument(
                f"cannot read line {number} of a unit: expected Directive=value in a section, not {line!r}"
            )
        found.append(Assignment(section, name.strip(_WHITESPACE), value.strip(_WHITESPACE), number))
    return tuple(found)


def _section(line: str, number: int) -> str:
    if not line.endswith("]") or len(line) < 3:
        raise InvalidArgument(f"cannot read line {number} of a unit: expected [Section], not {line!r}")
    return line[1:-1]


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Lines with comments dropped and continuations joined by one space, each with the number it starts on."""
    lines: list[tuple[int, str]] = []
    held, start = "", 0
    for number, raw in enumerate(text.split("\n"), 1):
        if any(character in raw for character in "\0\x0c\x0b") or not _is_unicode(raw):
            raise InvalidArgument(f"cannot read line {number} of a unit: it holds a control character or no UTF-8")
        line = raw.strip(_WHITESPACE)
        if line[:1] in ("#", ";"):
            continue
        start = start or number
        if _continues(line):
            held += line[:-1] + " "
            continue
        if joined := (held + line).strip(_WHITESPACE):
            lines.append((start, joined))
        held, start = "", 0
    if held:
        raise InvalidArgument(f"cannot read line {start} of a unit: it ends in a backslash with nothing after it")
    return lines


def _is_unicode(line: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in line)


def _continues(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def quote(word: str) -> str:
    """A word as it must be written so that `words` (and systemd) read it back: quoted and C-escaped where needed."""
    if _BARE.fullmatch(word):
        return word
    return '"' + "".join(map(_quoted, word)) + '"'


def _quoted(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character == "\0":
        raise InvalidArgument("cannot write a word into a unit: it holds a NUL byte")
    if ord(character) < 32 or ord(character) == 127:
        return f"\\x{ord(character):02x}"
    return character


def words(value: str, *, escapes: bool = True, separators: str = _WHITESPACE) -> list[str]:
    """Split a value as systemd does: quotes group, and with `escapes` the C-style ones are resolved.

    Without `escapes` a backslash only makes the next character literal. Raises InvalidArgument for an open quote or
    an unknown escape.
    """
    return [word for word, _, _ in _scan(value, escapes, separators)]


def raw_words(value: str) -> list[str]:
    """Split as `words` does, quotes and escapes left in, for values whose words have an inner structure."""
    return [value[start:end] for _, start, end in _scan(value, False, _WHITESPACE)]


def fields(value: str, separator: str = ":") -> list[str]:
    """Split one raw word at a separator; two in a row make an empty field, a backslash makes one literal."""
    found: list[str] = []
    position = 0
    while True:
        field, position = _word(value, position, False, separator)
        found.append(field)
        if position == len(value):
            return found
        position += 1


def padded(found: list[str], count: int, raw: str) -> list[str]:
    """Fields of `raw`, with empty ones up to `count`; more than that, or an empty first one, are refused."""
    if len(found) > count or not found[0]:
        raise InvalidArgument(
            f"cannot read {raw!r}: expected at most {count} fields between colons, the first not empty"
        )
    return found + [""] * (count - len(found))


def first_word(value: str) -> tuple[str, str]:
    """The first word and the untouched rest."""
    for word, _, end in _scan(value, True, _WHITESPACE):
        return word, value[end:].lstrip(_WHITESPACE)
    return "", ""


def _scan(value: str, escapes: bool, separators: str) -> Iterator[tuple[str, int, int]]:
    position = 0
    while True:
        while position < len(value) and value[position] in separators:
            position += 1
        if position == len(value):
            return
        start = position
        word, position = _word(value, start, escapes, separators)
        yield word, start, position


def _word(value: str, position: int, escapes: bool, separators: str) -> tuple[str, int]:
    out, open_quote = bytearray(), ""
    while position < len(value):
        character = value[position]
        if character == "\\":
            raw, position = _escape(value, position + 1, escapes)
            out += raw
            continue
        if character == open_quote:
            open_quote = ""
        elif not open_quote and character in "'\"":
            open_quote = character
        elif not open_quote and character in separators:
            break
        else:
            out += character.encode("utf-8", "surrogateescape")
        position += 1
    if open_quote:
        raise InvalidArgument(f"cannot read {value!r}: a {open_quote} is never closed")
    return _decoded(bytes(out), value), position


def unescape(value: str) -> bytes:
    """Resolve the C-style escapes of a whole value (StandardInputText=, SetCredential=)."""
    out, position = bytearray(), 0
    while position < len(value):
        if value[position] == "\\":
            raw, position = _escape(value, position + 1, True)
            out += raw
        else:
            out += value[position].encode()
            position += 1
    return bytes(out)


def _escape(value: str, position: int, escapes: bool) -> tuple[bytes, int]:
    if position == len(value):
        raise InvalidArgument(f"cannot read {value!r}: it ends in a backslash")
    character = value[position]
    if not escapes:
        return character.encode(), position + 1
    if character in _SIMPLE:
        return bytes([_SIMPLE[character]]), position + 1
    match = _NUMERIC.match(value, position)
    if match is None:
        raise InvalidArgument(f"cannot read {value!r}: \\{character} is no escape; write \\\\ for a backslash")
    return _numeric(match, value), match.end()


def _numeric(match: re.Match[str], value: str) -> bytes:
    if match[1] or match[4]:
        return bytes([int(match[1], 16) if match[1] else int(match[4], 8)])
    code = int(match[2] or match[3], 16)
    if code == 0 or code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise InvalidArgument(f"cannot read {value!r}: \\{match[0]} is no character")
    return chr(code).encode()


def _decoded(raw: bytes, value: str) -> str:
    if b"\0" in raw:
        raise InvalidArgument(f"cannot read {value!r}: it holds a NUL byte")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"cannot read {value!r}: its escapes do not make UTF-8") from error
