# SPDX-License-Identifier: MIT
"""The manual pages' generated parts: commands from click's own tree, tables of keys from the rows of the documents.

Each returns the Markdown that docs/roff.py reads; `{{name}}` on a line of its own in docs/manual/*.md stands for it.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import click
import roff

from strata.cli.group import Group

SOURCES = Path(__file__).resolve().parent / "manual"
_PART = re.compile(r"^\{\{(\w+)\}\}$", re.MULTILINE)
_REMARKS = re.compile(r"(.*?)(?: \[((?:default: |x>=|required).*)\])?")
_MANY = 5
"""An option that so many commands have in the same words is described once."""


def pages(parts: Mapping[str, Callable[[], str]]) -> dict[str, str]:
    """File name to the text of every manual page."""
    return {
        source.name.removesuffix(".md"): roff.page(
            _PART.sub(lambda found: parts[found[1]](), source.read_text("utf-8"))
        )
        for source in sorted(SOURCES.glob("*.md"))
    }


def definitions(rows: Iterable[Sequence[str]]) -> str:
    """Rows of (term, kind, default, meaning) as a list: the term with its kind, then what it means."""
    return "\n".join(_definition(*row) for row in rows)


def _definition(term: str, kind: str, default: str, meaning: str) -> str:
    about = _sentence(meaning) if meaning else ""
    stated = "Required." if "required" in default else f"Default: {default}." if default else ""
    return f"{term} ({kind})\n: {' '.join(text for text in (about, stated) if text)}\n"


def pairs(rows: Iterable[tuple[str, str]]) -> str:
    """Rows of (term, meaning) as a list."""
    return "".join(f"{term}\n: {_sentence(meaning)}\n\n" for term, meaning in rows)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def commands(root: Group, program: str) -> str:
    """Every command of a program, by the sections of its help page."""
    context = click.Context(root, info_name=program, **root.context_settings)
    shared = _shared(root, context)
    parts = []
    named: dict[str, str] = {}  # what a row of the table leads to, and the name it has been told by
    for title, verbs in root.sections.items():
        parts.append(f"## Commands: {title}\n")
        for verb in verbs:
            first = named.setdefault(verb.where, verb.name)
            same = f"### `{verb.name}` [OPTIONS]\n\nThe same as `{first}`.\n"
            parts += [same] if first != verb.name else _below(root, verb.name, context, shared)
    if shared:
        parts.append("## Common options\n\nWhat commands name under “also” means the same everywhere.\n")
        parts += [_option(record) for record in sorted(shared)]
    return "\n".join(parts)


def options(root: Group, program: str) -> str:
    """The options of the program itself."""
    context = click.Context(root, info_name=program, **root.context_settings)
    records = (parameter.get_help_record(context) for parameter in root.get_params(context))
    return "\n".join(_option(record) for record in records if record)


Record = tuple[str, str]


def _leaves(group: click.Group, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _leaves(command, inner)
        else:
            yield command, inner


def _shared(root: Group, context: click.Context) -> frozenset[Record]:
    counted = Counter(record for command, inner in _leaves(root, context) for record in _records(command, inner))
    return frozenset(record for record, count in counted.items() if count >= _MANY)


def _records(command: click.Command, context: click.Context) -> list[Record]:
    """Its options, without --help."""
    own = (each for each in command.get_params(context) if isinstance(each, click.Option))
    records = (each.get_help_record(context) for each in own if "--help" not in each.opts)
    return [record for record in records if record]


def _below(group: click.Group, name: str, context: click.Context, shared: frozenset[Record]) -> Iterator[str]:
    command = group.get_command(context, name)
    assert command is not None
    inner = click.Context(command, info_name=name, parent=context)
    if isinstance(command, click.Group):
        for below in command.list_commands(inner):
            yield from _below(command, below, inner, shared)
        return
    yield _command(command, inner, shared)


def _command(command: click.Command, context: click.Context, shared: frozenset[Record]) -> str:
    records = _records(command, context)
    also = [record for record in records if record in shared]
    lines = [f"### {_usage(command, context, bool(records))}\n", _help(command.help or "")]
    lines += [_option(record) for record in records if record not in shared]
    if also:
        lines.append(f"Also: {', '.join(_flags(flags) for flags, _ in also)}.\n")
    return "\n".join(lines)


def _usage(command: click.Command, context: click.Context, has_options: bool) -> str:
    words = context.command_path.split()[1:]
    pieces = [piece for piece in command.collect_usage_pieces(context) if has_options or piece != "[OPTIONS]"]
    return " ".join([f"`{' '.join(words)}`", *(_replaceable(piece) for piece in pieces)])


def _replaceable(piece: str) -> str:
    """A metavar: its words in capitals are replaced by who types it, the others typed as they are."""
    return re.sub(r"[A-Z][A-Z_-]*(?:/[A-Z]+)*", lambda found: f"*{found[0]}*", piece)


def _help(text: str) -> str:
    """A docstring for click: paragraphs, and after `\\b` lines that stay as they are."""
    made = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        kept = paragraph.removeprefix("\b\n")
        made.append(f"```\n{kept}\n```\n" if kept != paragraph else f"{kept}\n")
    return "\n".join(made)


def _option(record: Record) -> str:
    flags, text = record
    meaning, remarks = _REMARKS.fullmatch(re.sub(r"  +", " ", text)).groups()
    told = [_remark(each) for each in (remarks or "").split("; ") if each]
    return f"{_flags(flags)}\n: {' '.join(text for text in (meaning, *told) if text)}\n"


def _remark(text: str) -> str:
    """What click puts in brackets behind a help text, as a sentence."""
    if text.startswith("default: "):
        return f"Default: {text.removeprefix('default: ').removeprefix('(').removesuffix(')')}."
    if text.startswith("x>="):  # that a count is not negative goes without saying
        return "" if text == "x>=0" else f"At least {text.removeprefix('x>=')}."
    if text == "required":
        return "Required."
    raise ValueError(f"no words are known here for the remark {text!r} of an option")


def _flags(text: str) -> str:
    """`-d, --delay SPAN` with the parts that are typed, and the one that is replaced."""
    *names, last = text.split(", ")
    name, _, metavar = last.replace("INTEGER RANGE", "N").partition(" ")
    shown = ", ".join(f"`{each}`" for each in (*names, name))
    return f"{shown} {_replaceable(metavar)}" if metavar else shown
