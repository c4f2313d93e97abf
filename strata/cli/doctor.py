# SPDX-License-Identifier: MIT
"""`doctor`: every requirement as a row, and the mend as a command."""

from __future__ import annotations

import click

from strata.cli import checks_sandbox, options, output
from strata.cli.checks import FAIL, MACHINE, OK, WARN, Finding
from strata.cli.checks_files import FILES
from strata.cli.checks_here import HERE
from strata.cli.checks_installation import INSTALLED
from strata.cli.table import Cell
from strata.errors import StrataError
from strata.paths import Paths

STYLES = {OK: "green", WARN: "yellow", FAIL: "red"}


@click.command("doctor")
@options.as_json
def command(as_json: bool) -> int:
    """Check everything that Strata needs of this machine and say how to mend what is missing.

    Exit code 1 if anything fails; warnings are what Strata can live with.
    """
    findings = examine(Paths.from_env())
    failed = any(finding.level == FAIL for finding in findings)
    if as_json:
        output.document({"ok": not failed, "checks": [finding._asdict() for finding in findings]})
        return int(failed)
    rows = [(Cell(finding.level, STYLES[finding.level]), finding.name, finding.text) for finding in findings]
    output.columns(("", "CHECK", "FOUND"), rows)
    for finding in findings:
        if finding.mend:
            output.line(f"\nmend {finding.name}:\n  {finding.mend}")
    return int(failed)


def examine(paths: Paths) -> list[Finding]:
    """All findings, the machine's first."""
    machine = [check() for check in MACHINE] + checks_sandbox.findings()
    return machine + [_one(check.__name__, lambda c=check: c(paths)) for check in (*HERE, *FILES, *INSTALLED)]


def _one(name: str, look: object) -> Finding:
    assert callable(look)
    try:
        found = look()
    except (OSError, StrataError) as error:
        return Finding(name.replace("_", " "), FAIL, f"cannot look: {error}", "run `strata-ctl doctor` as root")
    assert isinstance(found, Finding)
    return found
