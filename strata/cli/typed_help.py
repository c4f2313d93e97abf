# SPDX-License-Identifier: MIT
"""The help pages and completion of the verbs that do without click (typed.py), made of the same tables."""

from __future__ import annotations

from typing import NoReturn

import click

from strata.cli import exec, options, run, typed


def _command(verb: typed.Verb) -> click.Command:
    rows: list[click.Parameter] = [
        click.Option(
            [option.name, *option.flags],
            is_flag=not option.metavar,
            metavar=option.metavar or None,
            multiple=option.many,
            help=option.help,
        )
        for option in verb.options
    ]
    first, _, rest = verb.usage.removeprefix("[OPTIONS] ").partition(" ")
    place = click.Argument(["place"], required=False, metavar=first, shell_complete=options.complete_session)
    words = click.Argument(["words"], nargs=-1, type=click.UNPROCESSED, metavar=rest)
    return click.Command(
        verb.name,
        callback=_unreached,
        params=[*rows, place, words],
        help=verb.help,
        options_metavar="[OPTIONS]",
        context_settings={"allow_interspersed_args": False},
    )


def _unreached(**_: object) -> NoReturn:
    raise AssertionError("dispatch.py runs these verbs itself")


run_command = _command(run.VERB)
exec_command = _command(exec.VERB)
