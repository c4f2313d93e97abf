# SPDX-License-Identifier: MIT
"""`reload`: manifests changed on disk become a plan, and after a look at it, the truth."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from strata.cli import call, options, output
from strata.cli.services import PATIENCE
from strata.cli.table import printable
from strata.paths import Paths


@click.command("reload")
@click.option("--apply", "--yes", "-y", "apply", is_flag=True, help="Apply the plan without asking.")
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")
@options.as_json
def command(apply: bool, dry_run: bool, as_json: bool) -> int:
    """Read the manifests again and show what would change; apply it after a yes.

    Without a terminal nothing is applied unless --apply says so. Exit code 1 if a manifest cannot be used.
    """
    if apply and dry_run:
        raise click.UsageError("cannot both apply and not: give --apply or --dry-run")
    paths = Paths.from_env()
    plan = call.call(paths, "supervisor.svc.reload", {"apply": False}, timeout=PATIENCE)
    if not as_json:
        show(plan)
    if not dry_run and plan["plan"] and (apply or _agreed(as_json)):
        plan = call.call(paths, "supervisor.svc.reload", {"apply": True}, timeout=PATIENCE)
        if not as_json:
            output.line("applied")
            _show_problems(plan)
    if as_json:
        output.document(plan)
    return 1 if plan["problems"] else 0


def show(plan: Mapping[str, Any]) -> None:
    """The plan for a person: one line for each step, one for each manifest that cannot be used."""
    for action in plan["plan"]:
        output.line(printable(f"{action['verb']} {action['service']}: {action['reason']}"))
    if not plan["plan"]:
        output.line("nothing to change")
    _show_problems(plan)
    for note in plan.get("notes", []):
        output.note(printable(note))


def _show_problems(plan: Mapping[str, Any]) -> None:
    for problem in plan["problems"]:
        output.line(printable(problem), "red")


def _agreed(as_json: bool) -> bool:
    if as_json or not sys.stdin.isatty():
        output.note("not applied; `strata-ctl reload --apply` does it")
        return False
    return click.confirm("Apply this plan?")
