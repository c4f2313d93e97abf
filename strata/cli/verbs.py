# SPDX-License-Identifier: MIT
"""The table of verbs, and what happens when a person types one."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click
from click.shell_completion import shell_complete

from strata import __version__
from strata.cli.group import Group, Verb, invoke
from strata.cli.shell import COMPLETE_VARIABLE

PROGRAM = "strata-ctl"

SECTIONS = {
    "Strata": (
        Verb("up", "up:command", "Start Strata on this machine and wait until all is Healthy."),
        Verb("down", "down:command", "Stop all of it and leave nothing behind."),
        Verb("status", "status:command", "Services, states and why, at a glance."),
        Verb("install", "install:command", "Have systemd start Strata at boot; again, to upgrade."),
        Verb("uninstall", "uninstall:command", "Undo that: remove what install wrote."),
        Verb("doctor", "doctor:command", "Check what Strata needs of this machine; say how to mend it."),
    ),
    "Sandboxes": (
        Verb("exec", "typed_help:exec_command", "A command in a session's own shell, which remembers."),
        Verb("run", "typed_help:run_command", "One command with this terminal's input and output."),
        Verb("shell", "attach:command", "A terminal in a session; leave it and come back."),
        Verb("cp", "cp:command", "Copy files into a session or out of one."),
        Verb("top", "top:command", "What the sessions use, as it changes."),
        Verb("sandbox", "sandbox:group", "Sessions: create, ls, rm, describe, snapshot, fork, ..."),
    ),
    "Services": (
        Verb("start", "services:start", "Start services and wait until they are Healthy."),
        Verb("stop", "services:stop", "Stop services; they stay stopped until started."),
        Verb("restart", "services:restart", "Restart services; without a name Strata itself, dropping nothing."),
        Verb("describe", "services:describe", "One service: unit, limits, usage, last result and why."),
        Verb("reset", "services:reset", "Let a Quarantined service go on."),
        Verb("reload", "reload:command", "Read the manifests again; show the plan, then apply it."),
        Verb("unit", "unit:group", "The systemd units exactly as they run: cat, verify, ls."),
    ),
    "Looking": (
        Verb("logs", "logs:command", "The journal of one service or of all."),
        Verb("events", "events:command", "Transitions of services, as they happen."),
        Verb("audit", "audit:command", "The audit log: who was given, used or refused what."),
    ),
    "Capabilities": (Verb("token", "token:group", "issue, inspect, attenuate and revoke tokens."),),
    "Plumbing": (
        Verb("config", "config:group", "Settings and manifests, judged before anything runs by them: check."),
        Verb("embedded", "embedded:group", "The private systemd: shell, run, status, stop."),
        Verb("completion", "completion:command", "A completion script for bash, zsh or fish."),
        Verb("version", "version:command", "Versions of Strata, Python and systemd."),
    ),
}

EPILOG = """The raw form calls any method: strata-ctl [-token TOKEN] METHOD [PARAMS_JSON], for example
strata-ctl registry.list. The reply envelope goes to standard output; the exit code is 0 only for ok. Keep tokens out of
the process list with `-token -` (standard input), `-token @FILE` or STRATA_TOKEN_FILE."""

root = Group(
    PROGRAM,
    sections=SECTIONS,
    help="Operate Strata: capabilities and sandboxes on systemd.",
    epilog=EPILOG,
    no_args_is_help=True,
)
root.context_settings = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
root = click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")(root)


def run(argv: Sequence[str]) -> int:
    """Run a verb; its exit code. Usage errors are 1 as well (vector 107)."""
    if instruction := os.environ.get(COMPLETE_VARIABLE):
        return shell_complete(root, {}, PROGRAM, COMPLETE_VARIABLE, instruction)
    return invoke(root, PROGRAM, argv)
