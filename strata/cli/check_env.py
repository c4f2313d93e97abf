# SPDX-License-Identifier: MIT
"""`strata check-env`: what `strata-ctl doctor` looks at, each item in a line of its own, and a summary."""

from __future__ import annotations

import click

from strata.cli import doctor, output
from strata.cli.checks import FAIL, OK, WARN
from strata.paths import Paths


@click.command("check-env")
def command() -> int:
    """Report everything that Strata needs of this machine. Exit code 1 if something is missing, 0 if it would run."""
    findings = doctor.examine(Paths.from_env())
    for finding in findings:
        output.line(f"[{finding.level:^4}] {finding.name}: {finding.text}", doctor.STYLES[finding.level])
        if finding.mend:
            output.line(f"       mend: {finding.mend}")
    counts = {level: sum(finding.level == level for finding in findings) for level in (OK, WARN, FAIL)}
    verdict = "not ready" if counts[FAIL] else "ready"
    output.line(f"\n{verdict}: {counts[OK]} ok, {counts[WARN]} warnings, {counts[FAIL]} failed")
    return int(counts[FAIL] > 0)
