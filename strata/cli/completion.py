# SPDX-License-Identifier: MIT
"""`completion`: the shell's side of it; the answers come from the verbs themselves."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from strata.cli import output
from strata.cli.shell import COMPLETE_VARIABLE

FILES = {"bash": "strata-ctl.bash", "zsh": "_strata-ctl", "fish": "strata-ctl.fish"}
"""Shell to its file in strata/completion, for those who install it."""


@click.command("completion")
@click.argument("shell", type=click.Choice(list(FILES)))
def command(shell: str) -> None:
    """Print a completion script.

    \b
    bash:  source <(strata-ctl completion bash)
    zsh:   source <(strata-ctl completion zsh)
    fish:  strata-ctl completion fish | source
    """
    output.line(script(shell).strip())


def script(shell: str) -> str:
    """What the shell is to read; the files in strata/completion are the same."""
    kind = get_completion_class(shell)
    assert kind is not None  # click has these three
    # `source()` would start bash to look at its version; the template itself needs nothing.
    made = kind(click.Group(), {}, "strata-ctl", COMPLETE_VARIABLE)
    return (made.source_template % made.source_vars()).strip() + "\n"
