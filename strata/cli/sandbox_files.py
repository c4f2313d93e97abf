# SPDX-License-Identifier: MIT
"""`sandbox`: a session's files as a whole, listed, compared, packed and kept."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from strata.cli import format, options, output, progress, sandboxes
from strata.cli.landing import landing
from strata.cli.place import Place, place
from strata.cli.sandbox import moment, pairs, since
from strata.cli.table import printable
from strata.errors import InvalidArgument

_KINDS = {"added": ("A", "green"), "modified": ("M", "yellow"), "removed": ("D", "red")}
_LETTERS = {"directory": "d", "symlink": "l", "file": "-", "fifo": "p", "socket": "s", "device": "c"}


@click.command("files")
@options.session
@click.argument("path", default="/root", metavar="[PATH]")
@options.sandbox_token
@options.as_json
def files(place: Place, path: str, token_file: str, as_json: bool) -> None:
    """List a directory of a session; /root unless PATH says otherwise."""
    found = pages("files", {**place.params(), "path": path}, "entries", token_file)
    if as_json:
        output.document(found)
        return
    output.columns(("", "MODE", "SIZE", "MODIFIED", "NAME"), [_entry(row) for row in found], right=("SIZE",))


def _entry(row: dict[str, Any]) -> list[str]:
    at = moment(row.get("mtime"))
    target = f" -> {row['target']}" if row.get("target") else ""
    return [
        _LETTERS.get(str(row.get("kind")), "?"),
        str(row.get("mode", "-")),
        format.size(row.get("size")),
        "-" if at is None else format.clock(at),
        f"{row['name']}{target}",
    ]


@click.command("diff")
@options.session
@options.sandbox_token
@options.as_json
def diff(place: Place, token_file: str, as_json: bool) -> None:
    """What was added (A), modified (M) or removed (D) against what the session began with."""
    found = pages("diff", place.params(), "changes", token_file)
    if as_json:
        output.document(found)
        return
    for row in found:
        letter, style = _KINDS.get(str(row["kind"]), ("?", ""))
        output.line(f"{letter} {printable(row['path'])}", style)


def pages(method: str, params: dict[str, Any], key: str, token_file: str) -> list[dict[str, Any]]:
    """All rows of an answer that comes in pages: each says in `next` where the following one begins."""
    with sandboxes.connect(token_file) as room:
        answer = room.call(method, params, patient=True)
        found: list[dict[str, Any]] = list(answer[key])
        while answer.get("next"):
            answer = room.call(method, params | {"cursor": answer["next"]}, patient=True)
            found += answer[key]
    return found


@click.command("export")
@options.session
@click.argument("file", metavar="FILE.tar")
@click.option("--path", metavar="PATH", help="Only what is below this directory of the session.")
@options.sandbox_token
@options.as_json
def export(place: Place, file: str, path: str | None, token_file: str, as_json: bool) -> None:
    """Write the session's files into a tar archive; `-` is standard output."""
    params = {**place.params(), **({"path": path} if path else {})}
    if file == "-" and sys.stdout.isatty():
        raise InvalidArgument("cannot write an archive to a terminal; name a file, or send it down a pipe")
    with sandboxes.connect(token_file) as room:
        found = room.get("export", params, 1) if file == "-" else _export_into(room, params, file)
    if as_json:
        output.document(found)
    elif file != "-":
        output.line(f"{file}: {format.size(found['size'])}, sha256 {found['sha256']}")


def _export_into(room: sandboxes.Room, params: dict[str, Any], file: str) -> Any:
    with landing(file) as fd:
        with progress.shown(fd, file):
            found = room.get("export", params, fd)
        progress.check(fd, found, file)
    return found


@click.command("snapshot")
@options.session
@click.argument("name")
@options.sandbox_token
@options.as_json
def snapshot(place: Place, name: str, token_file: str, as_json: bool) -> None:
    """Keep the session's files under NAME, for `create --from-snapshot` and `fork --snapshot`."""
    found = sandboxes.ask("snapshot", {**place.params(), "name": name}, token_file, patient=True)
    if as_json:
        output.document(found)
    else:
        output.line(f"{found['name']}: {format.size(found.get('size'))}")


@click.command("snapshots")
@options.session
@click.option("--remove", metavar="NAME", multiple=True, help="Remove that snapshot; may be given again.")
@options.sandbox_token
@options.as_json
def snapshots(place: Place, remove: Sequence[str], token_file: str, as_json: bool) -> None:
    """The snapshots that there are for the owner of the session."""
    for name in remove:
        sandboxes.ask("remove_snapshot", {**place.params(), "name": name}, token_file, patient=True)
        output.note(f"removed {name}")
    if remove:
        return
    found = sandboxes.ask("snapshots", place.params(), token_file)["snapshots"]
    if as_json:
        output.document(found)
        return
    rows = [[row["name"], format.size(row.get("size")), since(row.get("created_at"))] for row in found]
    output.columns(("SNAPSHOT", "SIZE", "AGE"), rows, right=("SIZE",))


@click.command("fork")
@options.session
@click.argument("to", metavar="NEW-SESSION")
@click.option("--snapshot", metavar="NAME", help="With the files of that snapshot, not as they are now.")
@click.option("-l", "--label", multiple=True, metavar="NAME=VALUE", help="Something to find the new one by.")
@options.sandbox_token
@options.as_json
def fork(place: Place, to: str, snapshot: str | None, label: Sequence[str], token_file: str, as_json: bool) -> None:
    """Open NEW-SESSION of the same owner with the files of this one; both then go their own ways."""
    new = _sibling(place, to)
    given = {"snapshot": snapshot, "labels": pairs(label, "a label")}
    params = {**place.params(), "to_session": new.session, **{name: value for name, value in given.items() if value}}
    found = sandboxes.ask("fork", params, token_file, patient=True)
    if as_json:
        output.document(found)
    else:
        output.line(str(new))


def _sibling(of: Place, text: str) -> Place:
    new = place(text) if "/" in text else Place(of.owner, text)
    if new.owner != of.owner:
        raise InvalidArgument(f"cannot fork {of} for {new.owner}: the new session belongs to the same owner")
    return new
