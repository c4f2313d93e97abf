# SPDX-License-Identifier: MIT
"""What is shared with the live ring: a node, the wire, visitors."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "live"))
