# SPDX-License-Identifier: MIT
"""The entry point of `strata-ctl`. Nothing but the standard library and the plain client is imported here."""

from __future__ import annotations

import sys

from strata.cli import early


def main() -> int:
    """Run the command line; the process's exit code."""
    early.knock(sys.argv[1:])
    from strata.cli import dispatch

    return dispatch.run(sys.argv[1:])
