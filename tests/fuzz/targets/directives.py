# SPDX-License-Identifier: MIT
"""strata/units/{table,encode}_*.py and text.py: what a manifest sets verbatim becomes a value that D-Bus can carry."""

from __future__ import annotations

from targets.shape import Taken
from targets.unit_shape import fits

from strata.errors import InvalidArgument
from strata.units import properties, text
from strata.units.directives import TABLE
from strata.units.encode_command import command
from strata.units.model import UnitText
from strata.units.names import escape, unescape
from strata.units.render import argv
from strata.units.rows import Row

INSTRUMENT = ("strata.units", "strata.values")
ROWS: tuple[tuple[str, Row], ...] = tuple(
    (section, row)
    for section, rows in TABLE.items()
    if section in ("Unit", "Service", "Socket")
    for row in rows.values()
)
SEEDS = tuple(
    number.to_bytes(2, "big") + b"\x00" + row.sample.encode() for number, (_, row) in enumerate(ROWS) if number % 3 == 0
)
DICTIONARY = (
    *(b"infinity", b"yes", b"no", b"~", b"!", b"|", b"-", b"+", b"@", b":", b"::", b"%n", b"%%", b"%", b"\\", b"\\x00"),
    *(
        b"\\u0000",
        b"\\ud800",
        b"\\U00110000",
        b"\\377",
        b'"',
        b"'",
        b";",
        b"0-8191",
        b"1min 5s",
        b"9" * 40,
        b"100%",
        b"0777",
    ),
    *(
        b"RTMIN+9",
        b"RTMAX-99",
        b"SIGKILL",
        b"fd:",
        b"file:",
        b"base64:",
        b"/dev/null 5M",
        b"any",
        b"1.2.3.4/33",
        b"\xff",
    ),
)
_UNITS = {"Unit": "x.service", "Service": "x.service", "Socket": "x.socket"}


def check(data: bytes) -> None:
    """Two bytes choose a directive, the rest are its assignments; then the words of the rest are written and read."""
    taken = Taken(data)
    section, row = ROWS[taken.number(2**16 - 1) % len(ROWS)]
    assigned = tuple(taken.text() for _ in range(taken.byte() % 3 + 1))
    _encoded(row, assigned)
    _in_a_unit(section, row, assigned)
    for word in assigned:
        _word(word)


def _encoded(row: Row, assigned: tuple[str, ...]) -> None:
    try:
        found = row.encode(assigned)
    except InvalidArgument:
        return
    for one in found:
        assert fits(one.signature, one.value) or _unsendable("".join(assigned)), (row.name, assigned, one)


def _unsendable(value: str) -> bool:
    return "\0" in value  # `text` refuses it before any row sees it


def _in_a_unit(section: str, row: Row, assigned: tuple[str, ...]) -> None:
    """As it stands in a unit: what is written there is told, whole, or the unit is refused."""
    lines = "".join(f"{row.name}={value}\n" for value in assigned)
    unit = UnitText(_UNITS[section], f"[{section}]\n{lines}")
    try:
        told = properties.encode(unit, 999)
    except InvalidArgument:
        return
    assert not told.skipped
    for one in told.properties:
        assert fits(one.signature, one.value), (unit, one)


def _word(word: str) -> None:
    assert unescape(escape(word)) == word
    assert "/" not in escape(word)
    try:
        quoted = text.quote(word)
    except InvalidArgument:
        assert "\0" in word
        return
    assert text.words(quoted) == [word]
    assert "\n" not in quoted
    if word:
        assert command(argv(["/x", word])).argv == ["/x", word.replace("%", "%%").replace("$", "$$")]
    for broken in (word, quoted):
        for reader in (text.words, text.raw_words, text.fields, text.first_word, text.unescape, unescape):
            try:
                reader(broken)  # type: ignore[operator]
            except InvalidArgument:
                continue
