# SPDX-License-Identifier: MIT
"""`python -m strata` is strata-ctl."""

from __future__ import annotations

import sys

from strata.cli import dispatch

if __name__ == "__main__":
    sys.exit(dispatch.run(sys.argv[1:]))
