# SPDX-License-Identifier: MIT
"""`strata`: the sandbox server as one program, as the predecessor had it (spec 2.1, 2.2, 2.9).

It is another way to type what strata-ctl does: `strata run` is an `up` that stays, and a `down` at its end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from strata import __version__
from strata.cli import dispatch
from strata.cli.group import Group, Verb, invoke

PROGRAM = "strata"
LEVELS = {"debug": "debug", "info": "info", "warn": "warning", "warning": "warning", "error": "error"}

SECTIONS = {
    "Server": (
        Verb("run", "serving:command", "Serve sandboxes here until Ctrl-C."),
        Verb("web", "serving:command", "The same."),
        Verb("serve", "serving:command", "The same."),
        Verb("check-env", "check_env:command", "Check everything that sandboxes need of this machine."),
    ),
    "Client": (Verb("cli", "console:command", "A terminal in a session of a server."),),
}
EPILOG = """Settings are read from strata.toml and the environment: STRATA_SERVER_ADDR (127.0.0.1:2280),
STRATA_SANDBOX_BASE_ROOTFS, STRATA_SANDBOX_SESSION_ROOT, STRATA_SANDBOX_SESSION_TTL (30m), STRATA_SANDBOX_MAX_SESSIONS
(100), STRATA_SANDBOX_ISOLATE_NETWORK (true), STRATA_SANDBOX_OVERLAY_DRIVER (auto, fuse, kernel or none). `strata-ctl`
operates what runs."""

root = Group(
    PROGRAM,
    sections=SECTIONS,
    help="Sandboxes for sessions, behind REST, WebSocket, gRPC and MCP on one port.",
    epilog=EPILOG,
    invoke_without_command=True,
)
root.context_settings = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
root = click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")(root)


@click.pass_context
def _begin(context: click.Context, log_level: str) -> None:
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        context.exit(0)
    # What it does not know is `info` (spec 2.1). Strata's services read it from their environment.
    os.environ["STRATA_LOG_LEVEL"] = LEVELS.get(log_level.lower(), "info")


root.callback = _begin
root.params.append(
    click.Option(
        ["--log-level"],
        default=lambda: os.environ.get("STRATA_LOG_LEVEL", "info"),
        metavar="LEVEL",
        show_default="info",
        help="debug, info, warn or error.",
    )
)


def main() -> int:
    """Run the command line; the process's exit code."""
    return dispatch.told(_invoke, sys.argv[1:])


def _invoke(argv: Sequence[str]) -> int:
    return invoke(root, PROGRAM, argv)
