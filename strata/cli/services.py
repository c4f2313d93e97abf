# SPDX-License-Identifier: MIT
"""`start`, `stop`, `restart`, `describe`, `reset`: the supervisor's methods, one service after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from strata.cli import call, format, options, output
from strata.cli.restart import everything
from strata.cli.table import printable
from strata.errors import StrataError
from strata.paths import Paths

PATIENCE = 120.0
"""Seconds that a start or a stop may take: each service has time limits of its own, which systemd enforces."""

_timeout = click.option(
    "--timeout",
    type=options.span,
    metavar="SPAN",
    default=PATIENCE,
    show_default="2min",
    help="How long to wait for each service.",
)


@click.command("start")
@options.service_names
@options.as_json
@_timeout
def start(names: Sequence[str], as_json: bool, timeout: float) -> int:
    """Start services, in the order given, and wait until each is Healthy."""
    return _each("start", names, {}, as_json, timeout)


@click.command("stop")
@options.service_names
@click.option("--drain-ms", type=click.IntRange(1), help="Milliseconds to end in order before it is killed.")
@options.as_json
@_timeout
def stop(names: Sequence[str], drain_ms: int | None, as_json: bool, timeout: float) -> int:
    """Stop services; they stay stopped until started."""
    return _each("stop", names, {"drain_ms": drain_ms} if drain_ms else {}, as_json, timeout)


@click.command("restart")
@options.any_service_names
@options.as_json
@_timeout
def restart(names: Sequence[str], as_json: bool, timeout: float) -> int:
    """Restart services and wait until each is Healthy; their sockets go on listening meanwhile.

    Without a name, restart Strata itself: the supervisor leaves everything running and comes back with the code and the
    settings that are on disk now, and restarts what runs by others, one service after another. Sessions, runs,
    terminals, tokens and users' own services go on.
    """
    if not names:
        return everything(Paths.from_env(), timeout, as_json)
    return _each("restart", names, {}, as_json, timeout)


@click.command("reset")
@options.service_names
@options.as_json
@_timeout
def reset(names: Sequence[str], as_json: bool, timeout: float) -> int:
    """Forget the crashes of Quarantined services, so that they may run again."""
    return _each("reset", names, {}, as_json, timeout)


@click.command("describe")
@options.service_name
@options.as_json
@options.timeout
def describe(name: str, as_json: bool, timeout: float) -> None:
    """One service: its unit, limits, usage, last result and why it is as it is."""
    found = call.call(Paths.from_env(), "supervisor.svc.describe", {"name": name}, timeout=timeout)
    if as_json:
        output.document(found)
        return
    for line in lines(found):
        output.line(line)


def lines(value: Any, indent: str = "") -> list[str]:
    """A JSON value as indented `key: value` lines, sizes and times as a person reads them."""
    found: list[str] = []
    for key, item in value.items():
        if isinstance(item, dict) and item:
            found += [f"{indent}{printable(key)}:", *lines(item, indent + "  ")]
        else:
            found.append(f"{indent}{printable(key)}: {shown(key, item)}")
    return found


def shown(key: str, item: Any) -> str:
    """One value, by what its key says that it counts."""
    by_ending: tuple[tuple[str, Callable[[Any], str]], ...] = (
        ("_bytes", format.size),
        ("since", format.clock),
        ("_sec", format.duration),
    )
    if isinstance(item, int | float) and not isinstance(item, bool) and item:
        for ending, form in by_ending:
            if key.endswith(ending):
                return form(item)
    if isinstance(item, list):
        return ", ".join(printable(part) for part in item) or "-"
    if isinstance(item, bool):
        return "yes" if item else "no"
    return "-" if item in (None, "", {}) else printable(item)


def _each(verb: str, names: Sequence[str], params: dict[str, Any], as_json: bool, timeout: float) -> int:
    """Every name is tried, so that one bad name does not keep the others from what was asked."""
    paths, results = Paths.from_env(), []
    for name in dict.fromkeys(names):
        try:
            result = call.call(paths, f"supervisor.svc.{verb}", {"name": name, **params}, timeout=timeout) or {}
            results.append({"name": name, "ok": True, **result})
            if not as_json:
                output.line(f"{name}: {printable(result.get('status', 'done'))}")
            if dependents := result.get("dependents"):
                output.note(f"{printable(', '.join(dependents))}: declared to come after {name}, and left as they are")
        except StrataError as error:
            failure = {"code": error.code, "name": error.name, "message": error.message}
            results.append({"name": name, "ok": False, "error": failure})
            output.note(f"error: {_about(verb, name, error)}")
    if as_json:
        output.document(results)
    return 0 if all(result["ok"] for result in results) else 1


def _about(verb: str, name: str, error: StrataError) -> str:
    reason = error.message.removeprefix(f"cannot complete supervisor.svc.{verb}: ")
    return reason if reason.startswith("cannot ") else f"cannot {verb} {name}: {reason}"
