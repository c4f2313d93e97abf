# SPDX-License-Identifier: MIT
"""`top`: what the sessions use, as it changes."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import click

from strata.cli import format, options, output, sandboxes, table
from strata.cli.sandbox import STYLES, listed, name_of, since
from strata.cli.table import Cell

_TITLES = ("SESSION", "STATE", "CPU", "MEMORY", "PEAK", "TASKS", "DISK", "AGE", "DOES")
_NUMBERS = ("CPU", "MEMORY", "PEAK", "TASKS", "DISK")
SORTS = ("cpu", "memory", "tasks", "disk", "name")


class Sample(NamedTuple):
    """All sessions at one moment; `at` in seconds of the monotonic clock."""

    at: float
    rows: Sequence[Mapping[str, Any]]
    stats: Mapping[str, Any]


@click.command("top")
@click.option("--owner", metavar="OWNER", help="Only this owner's.")
@click.option("--sort", type=click.Choice(SORTS), default="cpu", show_default=True, help="What comes first.")
@click.option(
    "-d", "--delay", type=options.span, metavar="SPAN", default=2.0, show_default="2s", help="Between two looks."
)
@click.option("-n", "--count", type=click.IntRange(1), help="Look that often, then end; once without a terminal.")
@options.sandbox_token
@options.as_json
def command(owner: str | None, sort: str, delay: float, count: int | None, token_file: str, as_json: bool) -> None:
    """Sessions by what they use: live on a terminal, until q or Ctrl-C; once where there is none."""
    wanted = {"owner": owner} if owner else {}
    live = sys.stdout.isatty() and sys.stdin.isatty() and not as_json and count is None
    first = sample(wanted, token_file)
    if live:
        with contextlib.suppress(KeyboardInterrupt), _screen():
            _live(first, wanted, sort, delay, token_file)
        return
    for _ in range((count or 1) - 1):
        time.sleep(delay)
        before, first = first, sample(wanted, token_file)
        _plain(first, before, sort, as_json)
    if (count or 1) == 1:
        _plain(first, None, sort, as_json)


def sample(wanted: Mapping[str, Any], token_file: str) -> Sample:
    """Look now. Raises StrataError."""
    rows = listed(wanted, token_file)
    return Sample(time.monotonic(), rows, sandboxes.ask("stats", {}, token_file))


def ordered(now: Sample, before: Sample | None, sort: str) -> list[Mapping[str, Any]]:
    """The rows with `cpu_percent`, of one cpu, since the sample before; None in the first."""
    shares = _shares(now, before)
    rows = [{**row, "cpu_percent": shares.get(name_of(row))} for row in now.rows]
    if sort == "name":
        return sorted(rows, key=name_of)
    if sort == "cpu":
        # Without a sample before it is the time used so far that there is to go by.
        return sorted(rows, key=lambda row: (row["cpu_percent"] or 0.0, _used(row, "cpu_ms")), reverse=True)
    return sorted(rows, key=lambda row: _used(row, sort), reverse=True)


def _shares(now: Sample, before: Sample | None) -> dict[str, float]:
    if before is None or now.at <= before.at:
        return {}
    earlier = {name_of(row): _used(row, "cpu_ms") for row in before.rows}
    passed = (now.at - before.at) * 1000
    return {
        name: max(0.0, (_used(row, "cpu_ms") - earlier[name]) / passed * 100)
        for row in now.rows
        if (name := name_of(row)) in earlier
    }


def _used(row: Mapping[str, Any], what: str) -> float:
    value = (row.get("usage") or {}).get(what)
    return float(value) if isinstance(value, int | float) else 0.0


def lines(now: Sample, before: Sample | None, sort: str, colour: bool) -> list[str]:
    """The whole picture, as lines."""
    rows = ordered(now, before, sort)
    busy = sum(row["cpu_percent"] or 0.0 for row in rows)
    memory = sum(_used(row, "memory") for row in rows)
    tasks = sum(_used(row, "tasks") for row in rows)
    limit = now.stats.get("max_sessions", "?")
    head = f"{len(rows)} of {limit} sessions · cpu {busy:.1f}% · memory {format.size(int(memory))} · {int(tasks)} tasks"
    return [head, "", *table.render(_TITLES, [_row(row) for row in rows], right=_NUMBERS, colour=colour)]


def _row(row: Mapping[str, Any]) -> list[Cell | str]:
    usage, state = row.get("usage") or {}, str(row.get("state", ""))
    share = row["cpu_percent"]
    return [
        name_of(row),
        Cell(state, STYLES.get(state, "")),
        "-" if share is None else f"{share:.1f}%",
        format.size(usage.get("memory")),
        format.size(usage.get("memory_peak")),
        str(usage.get("tasks", "-")),
        format.size(usage.get("disk")),
        since(row.get("created_at")),
        ", ".join(map(str, row.get("activity") or [])) or "idle",
    ]


def _plain(now: Sample, before: Sample | None, sort: str, as_json: bool) -> None:
    if as_json:
        output.document({"sessions": ordered(now, before, sort), **now.stats})
        return
    for text in lines(now, before, sort, table.wants_colour(sys.stdout)):
        output.line(text)


@contextlib.contextmanager
def _screen() -> Iterator[None]:
    """The other screen of the terminal, keys at once, no cursor; and back, however it ends."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    sys.stdout.write("\x1b[?1049h\x1b[?25l")
    try:
        tty.setcbreak(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()


def _live(first: Sample, wanted: Mapping[str, Any], sort: str, delay: float, token_file: str) -> None:
    before, now = None, first
    while True:
        height = os.get_terminal_size(sys.stdout.fileno()).lines
        colour = table.wants_colour(sys.stdout)
        picture = [f"{text}\x1b[K" for text in lines(now, before, sort, colour)[: height - 1]]
        sys.stdout.write("\x1b[H" + "\r\n".join(picture) + "\x1b[J")
        sys.stdout.flush()
        if select.select([sys.stdin], [], [], delay)[0] and os.read(sys.stdin.fileno(), 64)[:1] in (b"q", b"Q", b""):
            return
        before, now = now, sample(wanted, token_file)
