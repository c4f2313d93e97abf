# SPDX-License-Identifier: MIT
"""A click group that imports a verb's module only when that verb is typed, and suggests what was meant."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import click

from strata.cli.foreign import shown
from strata.cli.shell import INTERRUPTED


class Verb(NamedTuple):
    """A row of the verb table: `where` is MODULE:ATTRIBUTE below strata.cli."""

    name: str
    where: str
    summary: str


class Group(click.Group):
    """Verbs of its own (eager) or of a table (lazy), by sections of the help page."""

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[Verb]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections = dict(sections or {})
        self.rows = {verb.name: verb for verbs in self.sections.values() for verb in verbs}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all verbs, in the order of the help page."""
        return [*self.rows, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the verb's module now."""
        row = self.rows.get(cmd_name)
        if row is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = row.where.partition(":")
        command = getattr(importlib.import_module(f"strata.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with a suggestion for a name that is not there."""
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            raise click.UsageError(unknown(name, self.list_commands(ctx), ctx.command_path))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table's own summaries, so that --help imports no verb."""
        if not self.sections:
            super().format_commands(ctx, formatter)
        for title, verbs in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(verb.name, verb.summary) for verb in verbs])


def unknown(name: str, known: Sequence[str], program: str) -> str:
    """What to tell a person who typed a verb that is not there."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"unknown verb {name!r}; did you mean {' or '.join(close)}?"
    return f"unknown verb {name!r}; `{program} --help` lists them all"


def invoke(group: click.Group, program: str, argv: Sequence[str]) -> int:
    """Run what was typed; its exit code. Usage errors are one sentence, and 1."""
    try:
        with group.make_context(program, list(argv)) as context:
            code = group.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        sys.stderr.write(f"{error.format_message()}\n")
        return 1
    except click.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        sys.stderr.write(f"error: {shown(_sentence(error))}\n")
        return 1
    return code if isinstance(code, int) else 0


def _sentence(error: click.ClickException) -> str:
    text = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{text}; see `{context.command_path} --help`" if context else text
