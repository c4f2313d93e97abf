# SPDX-License-Identifier: MIT
"""`sandbox`: what runs in a session: commands of `run`, and terminals of `shell`."""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping
from typing import Any

import click

from strata.cli import options, outcome, output, sandboxes
from strata.cli.place import Place
from strata.cli.sandbox import since
from strata.cli.table import Cell

_STYLES = {"running": "green"}


@click.command("runs")
@options.session
@options.sandbox_token
@options.as_json
def runs(place: Place, token_file: str, as_json: bool) -> None:
    """Commands that `run` started, those of the background with their ids."""
    found = sandboxes.ask("runs", place.params(), token_file)["runs"]
    if as_json:
        output.document(found)
        return
    output.columns(("ID", "STATE", "AGE", "ENDED", "COMMAND"), [_row(row) for row in found])


def _row(row: Mapping[str, Any]) -> list[Cell | str]:
    state = str(row.get("state", ""))
    ended = str(row.get("ended") or "-")
    if ended == "exit":
        ended = f"exit {row.get('exit_code')}"
    elif ended == "signal":
        ended = f"signal {row.get('signal')}"
    return [
        str(row["id"]),
        Cell(state, _STYLES.get(state, "")),
        since(row.get("started_at")),
        ended,
        " ".join(row["argv"]),
    ]


_run = click.argument("id", metavar="ID")


@click.command("output")
@options.session
@_run
@click.option("-f", "--follow", is_flag=True, help="Go on until it ends; then exit with its exit code.")
@click.option("--offset", type=click.IntRange(0), help="Leave out that many bytes of each stream.")
@options.sandbox_token
def show_output(place: Place, id: str, follow: bool, offset: int | None, token_file: str) -> int:
    """Output of a run in the background: what is kept of it, each stream on its own here."""
    params: dict[str, Any] = {**place.params(), "id": id, "follow": follow}
    if offset:
        params["offset"] = {"stdout": offset, "stderr": offset}
    streams = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}
    ended: Mapping[str, Any] = {}
    with sandboxes.connect(token_file) as room:
        for event in room.stream("output", params):
            if event.get("stream") in streams:
                to = streams[event["stream"]]
                to.write(_data(event))
                to.flush()
            elif "ended" in event:
                ended = event
    return _code(ended) if follow else 0


def _data(event: Mapping[str, Any]) -> bytes:
    if "data_b64" in event:
        return base64.b64decode(event["data_b64"])
    return str(event.get("data", "")).encode("utf-8", "surrogatepass")


def _code(ended: Mapping[str, Any]) -> int:
    if reason := outcome.reason(ended):
        output.note(f"strata-ctl: {reason}")
    return outcome.code(ended)


@click.command("wait")
@options.session
@_run
@options.sandbox_token
def wait(place: Place, id: str, token_file: str) -> int:
    """Wait until a run has ended; the exit code is its own."""
    found: Mapping[str, Any] = {}
    with sandboxes.connect(token_file) as room:
        while not found.get("ended"):
            found = room.call("wait", {**place.params(), "id": id, "wait_ms": _WAIT_MS}, patient=True)
    return _code(found)


_WAIT_MS = 30_000


@click.command("kill")
@options.session
@_run
@click.option(
    "-s", "--signal", "name", metavar="NAME", help="Send its process this signal instead, such as TERM or HUP."
)
@options.sandbox_token
def kill(place: Place, id: str, name: str | None, token_file: str) -> None:
    """End a run with all its children, at once; or send a signal."""
    params = {**place.params(), "id": id}
    if name is None:
        sandboxes.ask("kill", params, token_file, patient=True)
        output.line(f"{id} killed")
    else:
        sandboxes.ask("signal", params | {"signal": name.upper().removeprefix("SIG")}, token_file)


@click.command("terminals")
@options.session
@options.sandbox_token
@options.as_json
def terminals(place: Place, token_file: str, as_json: bool) -> None:
    """Terminals that `shell` opened; `shell --terminal NAME` joins one."""
    found = sandboxes.ask("terminals", place.params(), token_file)["terminals"]
    if as_json:
        output.document(found)
        return
    rows = [
        [str(row["terminal"]), str(row.get("viewers", "-")), f"{row.get('rows', '?')}x{row.get('cols', '?')}"]
        for row in found
    ]
    output.columns(("TERMINAL", "VIEWERS", "SIZE"), rows, right=("VIEWERS",))


@click.command("hangup")
@options.session
@click.argument("terminal", default="main", metavar="[TERMINAL]")
@options.sandbox_token
def hangup(place: Place, terminal: str, token_file: str) -> None:
    """End a terminal: whatever runs in it gets a hang-up."""
    sandboxes.ask("hangup", {**place.params(), "terminal": terminal}, token_file, patient=True)
    output.line(f"terminal {terminal} of {place} ended")
