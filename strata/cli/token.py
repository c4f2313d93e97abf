# SPDX-License-Identifier: MIT
"""`token`: issue, inspect, attenuate and revoke capabilities without writing JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from strata.cli import call, format, options, output
from strata.cli.group import Group
from strata.cli.services import lines
from strata.cli.table import printable
from strata.errors import InvalidArgument
from strata.paths import Paths

F = TypeVar("F", bound=Callable[..., Any])

FORMATS = ("v2.public.", "v4.public.")
"""How a token begins; a cap_id has no dots."""

group = Group("token", help="Issue, inspect, attenuate and revoke capability tokens.", no_args_is_help=True)

_LIMITS = (
    click.option("--path-prefix", metavar="DIR", help="Only beneath this directory."),
    click.option("--rate-limit", metavar="N", help="At most this often, for example 50rps."),
    click.option("--owner", metavar="ID", help="Only sandbox sessions of this owner; * for everybody's."),
    click.option("--ttl", type=options.span, metavar="SPAN", help="Lifetime: 90s, 15m, 1h, 7d."),
    click.option("--quiet", "-q", is_flag=True, help="Print the token alone: TOKEN=$(strata-ctl token issue -q …)."),
    options.as_json,
)


def _limited(function: F) -> F:
    for option in reversed(_LIMITS):
        function = option(function)
    return function


_ACTION = click.option("--action", "-a", "actions", multiple=True, help="What it may do, as open or open,read.")
_RIGHT = click.option("--right", "-r", "rights", multiple=True, help="A whole method it may call, as fs.write.")


@group.command("issue")
@click.option("--service", "-s", required=True, metavar="NAME", help="The service it is for.")
@_ACTION
@_RIGHT
@_limited
def issue(service: str, quiet: bool, as_json: bool, **wanted: Any) -> None:
    """A new token for a service, with actions or rights, and limits."""
    params = {"service": service, **asked(**wanted)}
    if not params.get("actions") and not params.get("rights"):
        raise click.UsageError("give at least one --action or --right, for example --action open,read,list")
    _show(call.call(Paths.from_env(), "identity.issue", params), quiet, as_json)


@group.command("attenuate")
@click.argument("token", required=False)
@options.token_file
@_ACTION
@_RIGHT
@_limited
def attenuate(token: str | None, token_file: str | None, quiet: bool, as_json: bool, **wanted: Any) -> None:
    """A narrower child of TOKEN (`-` or nothing: standard input, @FILE: a file). Revoking TOKEN revokes it too."""
    params = {"token": options.given_token(token, token_file), **asked(**wanted)}
    _show(call.call(Paths.from_env(), "identity.attenuate", params), quiet, as_json)


@group.command("inspect")
@click.argument("token", required=False)
@options.token_file
@options.as_json
def inspect(token: str | None, token_file: str | None, as_json: bool) -> int:
    """What a token says, and whether it is still good. TOKEN as for attenuate.

    Exit code 0 only if it is: its signature, lifetime and revocation are checked.
    """
    found = call.call(Paths.from_env(), "identity.introspect", {"token": options.given_token(token, token_file)})
    if as_json:
        output.document(found)
    elif found["active"]:
        output.line("good: yes", "green")
    else:
        output.line(f"good: no, {printable(found['reason'])}", "red")
    for line in () if as_json else lines(found["claims"]):
        output.line(line)
    return 0 if found["active"] else 1


@group.command("revoke")
@click.argument("cap_id", required=False, metavar="[CAP_ID | TOKEN]")
@options.token_file
@options.as_json
def revoke(cap_id: str | None, token_file: str | None, as_json: bool) -> None:
    """Revoke a capability and all that was made from it, by its id or by the token itself (`-`: standard input)."""
    paths = Paths.from_env()
    given, token = options.given_token(cap_id, token_file), ""
    if given.startswith(FORMATS):
        token = given  # who holds a capability may revoke it, operator or not
        given = call.call(paths, "identity.introspect", {"token": token})["claims"]["jti"]
    found = call.call(paths, "identity.revoke", {"cap_id": given}, token)
    if as_json:
        output.document(found)
        return
    output.line(f"revoked {given}")
    if missing := found.get("unconfirmed"):
        output.note(f"warning: {missing} services have not confirmed it; until they do they may accept it")


def asked(
    actions: Sequence[str],
    rights: Sequence[str],
    path_prefix: str | None,
    rate_limit: str | None,
    ttl: float | None,
    owner: str | None = None,
) -> dict[str, Any]:
    """The parameters of a request for a token; what was not asked for is left out. Raises InvalidArgument."""
    if ttl is not None and ttl < 1:
        raise InvalidArgument("cannot use --ttl: it must be at least one second")
    params = {
        "actions": _listed(actions),
        "rights": _listed(rights),
        "path_prefix": path_prefix,
        "rate_limit": rate_limit,
        "owner": owner,
        "ttl_seconds": None if ttl is None else int(ttl),
    }
    return {name: value for name, value in params.items() if value}


def _listed(values: Sequence[str]) -> list[str]:
    return [part for value in values for part in value.replace(",", " ").split()]


def _show(found: dict[str, Any], quiet: bool, as_json: bool) -> None:
    if as_json:
        output.document(found)
    elif quiet:
        output.line(found["token"])
    else:
        output.line(found["token"])
        left = format.duration(found["expires"] - time.time())
        note = f"cap_id {found['cap_id']}, expires {format.clock(found['expires'])} (in {left})"
        output.note(note if sys.stdout.isatty() else f"token: {note}")
