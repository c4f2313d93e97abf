# SPDX-License-Identifier: MIT
"""`version`: what runs here, for a bug report."""

from __future__ import annotations

import platform

import click

from strata import __version__
from strata.cli import modes, options, output


@click.command("version")
@options.as_json
def command(as_json: bool) -> None:
    """Versions of Strata, Python, the kernel and systemd."""
    found = {
        "strata": __version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "systemd": modes.systemd_version() or "none",
    }
    if as_json:
        output.document(found)
    else:
        for name, version in found.items():
            output.line(f"{name} {version}")
