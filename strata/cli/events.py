# SPDX-License-Identifier: MIT
"""`events`: the supervisor's stream of transitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from strata.cli import call, format, options, output
from strata.cli.status import STYLES
from strata.cli.table import printable
from strata.paths import Paths


@click.command("events")
@click.option("-f", "--follow", is_flag=True, help="Go on as they happen.")
@options.as_json
def command(follow: bool, as_json: bool) -> None:
    """Transitions of services: the recent ones, with -f also those to come. --json prints one object a line."""
    for event in call.stream(
        Paths.from_env(), "supervisor.events", {"follow": follow}, None if follow else call.SECONDS
    ):
        if as_json:
            output.record(event)
        else:
            output.line(sentence(event), STYLES.get(str(event.get("state")), ""))


def sentence(event: Mapping[str, Any]) -> str:
    """An event as one line: when, which service, what became of it and why."""
    at = format.clock(event["time"])
    return printable(f"{at}  {event['service']:<12}  {event['event']:<16}  {event['message']}")
