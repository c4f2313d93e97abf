# SPDX-License-Identifier: MIT
"""`sandbox`: sessions as a whole, made, looked at, put to sleep and removed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from strata.cli import format, options, output, sandboxes
from strata.cli.group import Group, Verb
from strata.cli.place import Place
from strata.cli.services import lines
from strata.cli.table import Cell
from strata.errors import InvalidArgument, NotFound, StrataError

SECTIONS = {
    "Sessions": (
        Verb("create", "sandbox:create", "Open a session; harmless when it is there."),
        Verb("ls", "sandbox:ls", "The sessions there are."),
        Verb("describe", "sandbox:describe", "One session: limits, usage, what runs in it."),
        Verb("extend", "sandbox:extend", "Another idle time for it."),
        Verb("freeze", "sandbox:freeze", "Stop its processes where they are."),
        Verb("thaw", "sandbox:thaw", "Let them go on."),
        Verb("rm", "sandbox:rm", "Close sessions: processes and files go."),
        Verb("templates", "sandbox:templates", "The templates to create from."),
    ),
    "Files": (
        Verb("files", "sandbox_files:files", "List a directory of a session."),
        Verb("diff", "sandbox_files:diff", "What changed against the base."),
        Verb("export", "sandbox_files:export", "All of its files, or one directory, as a tar archive."),
        Verb("snapshot", "sandbox_files:snapshot", "Keep its files under a name."),
        Verb("snapshots", "sandbox_files:snapshots", "The snapshots of an owner; --remove removes one."),
        Verb("fork", "sandbox_files:fork", "A new session with the files of this one."),
    ),
    "Processes": (
        Verb("runs", "sandbox_runs:runs", "Commands that `run` started."),
        Verb("output", "sandbox_runs:show_output", "Output of one that runs in the background."),
        Verb("wait", "sandbox_runs:wait", "Wait for one; exit with its exit code."),
        Verb("kill", "sandbox_runs:kill", "End one with all its children, or send it a signal."),
        Verb("terminals", "sandbox_runs:terminals", "Terminals that `shell` opened."),
        Verb("hangup", "sandbox_runs:hangup", "End a terminal."),
    ),
}

group = Group(
    "sandbox",
    sections=SECTIONS,
    no_args_is_help=True,
    help="Sessions: create, ls, describe, files, snapshots, processes.",
    epilog="`exec`, `run`, `shell`, `cp` and `top` work with what is in them.",
)

STYLES = {"open": "green", "frozen": "yellow"}
LIMITS = ("memory_max", "tasks_max", "cpu_quota", "disk_max", "inodes_max", "files_max")


def pairs(words: Sequence[str], what: str) -> dict[str, str]:
    """`K=V` words as a mapping. Raises InvalidArgument."""
    found = dict(word.partition("=")[::2] for word in words)
    if any("=" not in word or word.startswith("=") for word in words):
        raise InvalidArgument(f"cannot use {', '.join(words)} as {what}: expected NAME=VALUE")
    return found


@click.command("create")
@options.optional_session
@click.option("--template", metavar="NAME", help="Base, limits and environment of that template.")
@click.option("--base", metavar="DIR", help="A root file system to stand on instead of this machine's /usr.")
@click.option("--from-snapshot", metavar="NAME", help="Start with the files of that snapshot.")
@click.option("--network", type=click.Choice(["isolated", "host"]), help="The machine's own network, or none at all.")
@click.option(
    "--driver", type=click.Choice(["auto", "kernel", "fuse", "none"]), help="How its files lie over the base."
)
@click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="A variable that its commands have.")
@click.option("-l", "--label", multiple=True, metavar="NAME=VALUE", help="Something to find it by.")
@click.option("--limit", multiple=True, metavar="NAME=VALUE", help=f"One of {', '.join(LIMITS)}.")
@click.option("--ttl", metavar="SPAN", help="Close it when it was idle for so long.")
@click.option("--lifetime", metavar="SPAN", help="End it after so long, whatever it does.")
@options.sandbox_token
@options.as_json
def create(
    place: Place,
    env: Sequence[str],
    label: Sequence[str],
    limit: Sequence[str],
    token_file: str,
    as_json: bool,
    **plain: str | None,
) -> None:
    """Open a session and print its name. One that is there already stays as it is."""
    given = {
        "env": pairs(env, "a variable"),
        "labels": pairs(label, "a label"),
        "limits": limits(limit),
        **plain,
    }
    params = {**place.params(), **{name: value for name, value in given.items() if value}}
    found = sandboxes.ask("create", params, token_file, patient=True)
    for warning in found.get("warnings", ()):
        output.note(f"warning: {warning}")
    if as_json:
        output.document(found)
        return
    output.line(str(place))
    if not found.get("created"):
        output.note("it was open already, and stays as it is")


def limits(words: Sequence[str]) -> dict[str, str | int]:
    """Limits as typed: counts are numbers; the service reads sizes and shares. Raises InvalidArgument."""
    found = pairs(words, "a limit")
    if odd := sorted(set(found) - set(LIMITS)):
        raise InvalidArgument(f"unknown limit {odd[0]!r}; there are {', '.join(LIMITS)}")
    return {name: int(text) if text.isdecimal() and name.endswith(_COUNTS) else text for name, text in found.items()}


_COUNTS = ("tasks_max", "inodes_max", "files_max")


@click.command("ls")
@click.option("--owner", metavar="OWNER", help="Only this owner's.")
@click.option("-l", "--label", multiple=True, metavar="NAME=VALUE", help="Only those with this label.")
@click.option("--state", metavar="STATE", help="Only those in this state, open or frozen.")
@click.option("-q", "--quiet", is_flag=True, help="Names only.")
@options.sandbox_token
@options.as_json
def ls(owner: str | None, label: Sequence[str], state: str | None, quiet: bool, token_file: str, as_json: bool) -> None:
    """The sessions there are."""
    given = {"owner": owner, "labels": pairs(label, "a label"), "state": state}
    found = listed({name: value for name, value in given.items() if value}, token_file)
    if as_json:
        output.document(found)
    elif quiet:
        for row in found:
            output.line(name_of(row))
    else:
        show(found)


def listed(wanted: Mapping[str, Any], token_file: str) -> list[dict[str, Any]]:
    """The sessions with what each uses."""
    with sandboxes.connect(token_file) as room:
        found: list[dict[str, Any]] = room.call("list", wanted)["sessions"]
        for row in found:
            if "usage" not in row:
                with contextlib.suppress(NotFound):  # closed since
                    row["usage"] = room.call("usage", {"owner": row["owner"], "session": row["session"]})
    return found


def show(sessions: Sequence[Mapping[str, Any]]) -> None:
    """A table for a person."""
    titles = ("SESSION", "STATE", "AGE", "IDLE", "TASKS", "MEMORY", "DISK", "EXPIRES", "LABELS")
    output.columns(titles, [_row(row) for row in sessions], right=("TASKS", "MEMORY", "DISK"))


def name_of(row: Mapping[str, Any]) -> str:
    """OWNER/SESSION."""
    return f"{row['owner']}/{row['session']}"


def _row(row: Mapping[str, Any]) -> list[Cell | str]:
    usage = row.get("usage") or {}
    state = str(row.get("state", ""))
    idle = row.get("idle_seconds")
    return [
        name_of(row),
        Cell(state, STYLES.get(state, "")),
        since(row.get("created_at")),
        "-" if idle is None else format.duration(float(idle)),
        str(usage.get("tasks", "-")),
        format.size(usage.get("memory")),
        format.size(usage.get("disk")),
        until(row.get("expires_at")),
        " ".join(f"{name}={value}" for name, value in (row.get("labels") or {}).items()) or "-",
    ]


def moment(value: Any) -> float | None:
    """Seconds since 1970 of a time on the wire: RFC 3339, or such a number already; None for neither."""
    if isinstance(value, int | float):
        return float(value)
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return None


def since(value: Any) -> str:
    """How long ago that was."""
    at = moment(value)
    return "-" if at is None else format.duration(time.time() - at)


def until(value: Any) -> str:
    """How long until then."""
    at = moment(value)
    return "-" if at is None else "in " + format.duration(at - time.time())


@click.command("describe")
@options.session
@options.sandbox_token
@options.as_json
def describe(place: Place, token_file: str, as_json: bool) -> None:
    """One session: its limits and usage, why it counts as active, what runs in it."""
    _show_one(sandboxes.ask("describe", place.params(), token_file), as_json)


@click.command("extend")
@options.session
@click.option("--ttl", metavar="SPAN", required=True, help="Close it when it was idle for so long, from now on.")
@options.sandbox_token
@options.as_json
def extend(place: Place, ttl: str, token_file: str, as_json: bool) -> None:
    """Give a session more idle time, or less. Its lifetime stays: PID 1 holds it since the session was opened."""
    found = sandboxes.ask("extend", {**place.params(), "ttl": ttl}, token_file)
    if as_json:
        output.document(found)
    else:
        output.line(f"{place} is closed when it was idle for {format.duration(found['ttl_seconds'])}")


@click.command("freeze")
@options.sessions
@options.sandbox_token
def freeze(places: Sequence[Place], token_file: str) -> int:
    """Stop the processes of sessions where they are; they use no more time, and keep their memory."""
    return each("freeze", places, "frozen", token_file)


@click.command("thaw")
@options.sessions
@options.sandbox_token
def thaw(places: Sequence[Place], token_file: str) -> int:
    """Let frozen sessions go on."""
    return each("thaw", places, "goes on", token_file)


@click.command("rm")
@options.sessions
@options.sandbox_token
def rm(places: Sequence[Place], token_file: str) -> int:
    """Close sessions: returns when their processes have ended and their files are gone. Snapshots stay."""
    return each("close", places, "closed", token_file)


def each(method: str, places: Sequence[Place], done: str, token_file: str) -> int:
    """Every session is tried, so that one bad name does not keep the others from what was asked."""
    failed = False
    for place in dict.fromkeys(places):
        try:
            sandboxes.ask(method, place.params(), token_file, patient=True)
            output.line(f"{place} {done}")
        except StrataError as error:
            failed = True
            reason = error.message.removeprefix(f"cannot {method}: ")
            output.note(f"error: {reason if reason.startswith('cannot ') else f'cannot {method} {place}: {reason}'}")
    return int(failed)


@click.command("templates")
@options.sandbox_token
@options.as_json
def templates(token_file: str, as_json: bool) -> None:
    """Templates from strata.toml ([sandbox.templates.NAME]), to be named with `create --template`."""
    found = sandboxes.ask("templates", {}, token_file)["templates"]
    if as_json:
        output.document(found)
        return
    rows = [
        (row["name"], row.get("network") or "-", row.get("base_rootfs") or "-", row.get("description") or "")
        for row in found
    ]
    output.columns(("TEMPLATE", "NETWORK", "BASE", "ABOUT"), rows)


def _show_one(found: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        output.document(found)
        return
    for line in lines(found):
        output.line(line)
