# SPDX-License-Identifier: MIT
"""Options that several verbs share, so that they read the same everywhere."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from strata.cli import call, format, sandboxes, secret
from strata.cli.place import Place, place
from strata.errors import InvalidArgument, StrataError
from strata.paths import Paths

_FOR_EVER = 9e9  # seconds: what `infinity` exceeds and a socket's time limit can still hold


def span(value: object) -> float:
    """A time span such as `90`, `1h`, `1h 30min`, `500ms`, in seconds; never none. Raises InvalidArgument."""
    seconds = format.span_seconds(str(value))
    if not 0 < seconds < _FOR_EVER:
        raise InvalidArgument(f"cannot use the span {str(value)!r}: it must be more than 0 and have an end")
    return seconds


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program.")
timeout = click.option(
    "--timeout",
    type=span,
    metavar="SPAN",
    default=call.SECONDS,
    show_default="30s",
    help="How long to wait for an answer.",
)
token_file = click.option("--token-file", "token_file", metavar="PATH", help="Read the token from a file.")


def given_token(argument: str | None, file: str | None) -> str:
    """The token of an argument (`-` is standard input, `@FILE` a file) or of --token-file. Raises InvalidArgument."""
    if argument and file:
        raise InvalidArgument("cannot take two tokens: give an argument or --token-file, not both")
    return secret.token(f"@{file}" if file else argument or "-")


def complete_service(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of services for the shell's completion; none when nothing runs."""
    try:
        listed = call.call(Paths.from_env(), "supervisor.svc.list", timeout=1.0)
        return [row["name"] for row in listed["services"] if row["name"].startswith(incomplete)]
    except (StrataError, KeyError, TypeError):  # completion offers nothing rather than printing into the prompt
        return []


def complete_session(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of open sessions, OWNER/SESSION, for the shell's completion."""
    try:
        with sandboxes.connect(timeout=1.0) as room:
            listed = room.call("list", {})["sessions"]
        names = [f"{row['owner']}/{row['session']}" for row in listed]
    except (StrataError, KeyError, TypeError):
        return []
    return [name for name in names if name.startswith(incomplete)]


def _place(ctx: click.Context, param: click.Parameter, value: str | None) -> Place:
    return place(value or "")


def _places(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> list[Place]:
    return [place(text) for text in value]


service_names = click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_service)
any_service_names = click.argument("names", nargs=-1, metavar="[NAME...]", shell_complete=complete_service)
service_name = click.argument("name", metavar="NAME", shell_complete=complete_service)

_A_PLACE = "OWNER/SESSION"
session = click.argument("place", metavar=_A_PLACE, callback=_place, shell_complete=complete_session)
optional_session = click.argument(
    "place", metavar=f"[{_A_PLACE}]", required=False, callback=_place, shell_complete=complete_session
)
sessions = click.argument(
    "places", nargs=-1, required=True, metavar=f"{_A_PLACE}...", callback=_places, shell_complete=complete_session
)
sandbox_token = click.option(
    "--token-file",
    metavar="PATH",
    default="",
    help="Read a token from a file; root and Strata's own user need none. STRATA_TOKEN_FILE names one, too.",
)


def complete_end(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """One side of a copy: a path here, or OWNER/SESSION: of an open session."""
    names = [CompletionItem(f"{name}:") for name in complete_session(ctx, param, incomplete)]
    return [*names, CompletionItem(incomplete, type="file")]
