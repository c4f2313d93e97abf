# SPDX-License-Identifier: MIT
"""Plain logging to stderr; journald reads the `<N>` prefix as the priority (sd-daemon(3))."""

from __future__ import annotations

import logging
import os
import sys

PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _Prefixed(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        # journald takes each line as a record of its own, so every line carries the priority.
        prefix = f"<{PRIORITY.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def setup(level: str = "info") -> None:
    """Log to stderr at `level` (debug, info, warning, error); with priorities when stderr is the journal's stream."""
    handler = logging.StreamHandler(sys.stderr)
    form = "%(name)s: %(message)s"
    handler.setFormatter(_Prefixed(form) if os.environ.get("JOURNAL_STREAM") else logging.Formatter(form))
    logging.basicConfig(level=getattr(logging, level.upper()), handlers=[handler], force=True)
