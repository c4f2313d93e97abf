# SPDX-License-Identifier: MIT
"""`audit`: the journal's records that carry STRATA_EVENT, which are the audit log."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import click

from strata.cli import format, modes, options, output
from strata.cli.table import Cell, printable
from strata.errors import Unavailable
from strata.paths import Paths
from strata.units import names

_TITLES = ("TIME", "EVENT", "SERVICE", "SUBJECT", "CAP", "RESOURCE", "MESSAGE")
_FIELDS = ("event", "service", "subject", "cap_id", "resource")
_ALARMS = ("auth.denied", "svc.crash", "svc.quarantined")


@click.command("audit")
@click.option("-f", "--follow", is_flag=True, help="Go on as it happens.")
@click.option("-n", "--lines", type=click.IntRange(0), default=200, show_default=True, help="How many of the last.")
@click.option("--since", metavar="TIME", help="From then on, as journalctl reads it: -1h, today, 2026-11-22 09:30.")
@click.option("--event", multiple=True, metavar="EVENT", help="Only these events, as auth.denied or fs.read.")
@click.option("--cap", metavar="CAP_ID", help="Only this capability.")
@options.as_json
def command(follow: bool, lines: int, since: str | None, event: tuple[str, ...], cap: str | None, as_json: bool) -> int:
    """Who was given, used or refused what. --json prints one object a line, all fields of the record included."""
    manager = modes.required(Paths.from_env())
    arguments = ["--no-pager", "--output=json", "--all", f"--lines={lines}", *_narrowed(follow, since, event, cap)]
    found = records(manager, modes.journalctl(manager, *arguments))
    if as_json:
        for record in found:
            output.record(record)
    elif follow:
        for record in found:
            output.line(printable("  ".join(_texts(record))), _style(record))
    else:
        output.columns(_TITLES, [[Cell(text, _style(record)) for text in _texts(record)] for record in found])
    return 0


def _narrowed(follow: bool, since: str | None, event: tuple[str, ...], cap: str | None) -> list[str]:
    wanted = [f"STRATA_EVENT={name}" for name in event]
    wanted += [f"STRATA_CAP_ID={cap}"] if cap else []
    # journalctl joins matches of one field by "or", of several by "and"; a record without the event is dropped below.
    return [*(["--follow"] if follow else []), *([f"--since={since}"] if since else []), *(wanted or _all_events())]


def _all_events() -> list[str]:
    """journalctl cannot match "the field is there"; every audit record carries this identifier (systemd/journal.py)."""
    return ["SYSLOG_IDENTIFIER=strata"]


def records(manager: modes.Manager, argv: list[str]) -> Iterator[dict[str, Any]]:
    """Records that journalctl prints, as they come. Raises Unavailable when journalctl fails."""
    reader, writer = os.pipe()
    codes: list[int] = []
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    def work() -> None:
        try:
            codes.append(modes.run(manager, argv, stdout=writer))
        finally:
            os.close(writer)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    with open(reader, encoding="utf-8", errors="replace") as pipe:
        for line in pipe:
            record = json.loads(line)
            if record.get("STRATA_EVENT"):
                yield record
    worker.join()
    if codes != [0]:
        raise Unavailable("cannot read the journal: journalctl failed; what it said stands above")


def _texts(record: Mapping[str, Any]) -> list[str]:
    at = format.clock(int(record.get("__REALTIME_TIMESTAMP", 0)) / 1_000_000)
    fields = [_field(record, name) for name in _FIELDS]
    return [at, *fields, str(record.get("MESSAGE", ""))]


def _field(record: Mapping[str, Any], name: str) -> str:
    """A field's text. journald gives a list where a record has the field more than once: who says it, of whom."""
    value = record.get(f"STRATA_{name.upper()}") or "-"
    if not isinstance(value, list):
        return str(value)
    own = names.service_of(str(record.get("_SYSTEMD_UNIT", "")))
    return ", ".join(sorted({str(item) for item in value} - {own or ""}) or [str(value[0])])


def _style(record: Mapping[str, Any]) -> str:
    return "red" if record.get("STRATA_EVENT") in _ALARMS else ""
