# SPDX-License-Identifier: MIT
"""What strata-ctl and the shell that runs it have agreed on."""

COMPLETE_VARIABLE = "_STRATA_CTL_COMPLETE"
"""Set by the shell's completion function; click then answers instead of running a command."""

INTERRUPTED = 130
"""128 + SIGINT."""

BROKEN_PIPE = 141
"""128 + SIGPIPE, what a shell reports for any program whose reader went away."""
