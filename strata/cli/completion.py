# SPDX-License-Identifier: MIT
"""`completion`: the shell's side of it; the answers come from the verbs themselves."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from strata.cli import output
from strata.cli.shell import COMPLETE_VARIABLE


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print a completion script.

    \b
    bash:  source <(strata-ctl completion bash)
    zsh:   source <(strata-ctl completion zsh)
    fish:  strata-ctl completion fish | source
    """
    kind = get_completion_class(shell)
    assert kind is not None  # click has these three
    # `source()` would start bash to look at its version; the template itself needs nothing.
    script = kind(click.Group(), {}, "strata-ctl", COMPLETE_VARIABLE)
    output.line((script.source_template % script.source_vars()).strip())
