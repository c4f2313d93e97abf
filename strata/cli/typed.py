# SPDX-License-Identifier: MIT
"""Arguments of the verbs that must start at once: a table instead of click, whose import takes longer than the call.

The same table makes the verb's help page and its completion (typed_help.py), for which there is time.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from strata.cli.place import Place, place
from strata.errors import InvalidArgument


class Option(NamedTuple):
    """One row: `flags` as typed; without a `metavar` it takes no value, and `many` may be given again."""

    name: str
    flags: tuple[str, ...]
    metavar: str
    help: str
    many: bool = False


class Verb(NamedTuple):
    """`usage` is what follows the options; `help` the page's text, its first line the summary."""

    name: str
    usage: str
    help: str
    options: tuple[Option, ...]


class Typed(NamedTuple):
    """What was typed: values by option name (True for one without a value), the session, and the words after `--`."""

    values: Mapping[str, list[str]]
    place: Place
    words: tuple[str, ...]

    def given(self, name: str) -> bool:
        """Whether an option was typed."""
        return name in self.values

    def last(self, name: str) -> str:
        """The value of an option, the last one of several, "" when it was not typed."""
        return self.values.get(name, [""])[-1]


TIMEOUT = Option("timeout", ("--timeout",), "SPAN", "End the command after that time, such as 90s or 5min.")
TOKEN_FILE = Option(
    "token_file", ("--token-file",), "PATH", "Read a token from a file; root and Strata's own user need none."
)


def read(verb: Verb, argv: Sequence[str]) -> Typed:
    """Read `[OPTIONS] [OWNER/SESSION] -- WORDS`. Raises InvalidArgument."""
    if "--" not in argv or argv.index("--") == len(argv) - 1:
        raise InvalidArgument(f"no command given; type it as `strata-ctl {verb.name} {verb.usage}`")
    middle = argv.index("--")
    values, rest = _options(verb, list(argv[:middle]))
    if len(rest) > 1:
        raise InvalidArgument(
            f"cannot use {rest[1]!r}: one OWNER/SESSION may come before `--`, and the command after it"
        )
    return Typed(values, place(rest[0] if rest else ""), tuple(argv[middle + 1 :]))


def _options(verb: Verb, left: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    by_flag = {flag: option for option in verb.options for flag in option.flags}
    values: dict[str, list[str]] = {}
    rest: list[str] = []
    while left:
        word = left.pop(0)
        if not word.startswith("-") or word == "-":
            rest.append(word)
            continue
        flag, value = _split(word)
        option = by_flag.get(flag)
        if option is None:
            raise InvalidArgument(f"unknown option {flag}; `strata-ctl {verb.name} --help` lists them")
        values.setdefault(option.name, []).append(_value(option, flag, value, left))
    return values, rest


def _split(word: str) -> tuple[str, str | None]:
    """`--flag=value`, `-fvalue`, or a flag alone."""
    if word.startswith("--"):
        flag, equals, value = word.partition("=")
        return flag, value if equals else None
    return word[:2], word[2:] or None


def _value(option: Option, flag: str, value: str | None, left: list[str]) -> str:
    if not option.metavar:
        if value is not None:
            raise InvalidArgument(f"cannot use {flag}{value}: {flag} takes no value")
        return ""
    if value is None and not left:
        raise InvalidArgument(f"missing value: {flag} {option.metavar}")
    return left.pop(0) if value is None else value


def environment(words: Sequence[str]) -> dict[str, str]:
    """`K=V` as it says, `K` with the value that it has here. Raises InvalidArgument."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or (not equals and name not in os.environ):
            raise InvalidArgument(f"cannot use {word!r} as a variable: expected NAME=VALUE, or a NAME that is set here")
        found[name] = value if equals else os.environ[name]
    return found


def milliseconds(text: str) -> int:
    """A span such as `90`, `90s`, `500ms`. Raises InvalidArgument."""
    from strata import values

    found = values.microseconds(text) // 1000
    if not 0 < found < 2**53:
        raise InvalidArgument(f"cannot use the span {text!r}: it must be at least 1ms and have an end")
    return found
