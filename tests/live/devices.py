# SPDX-License-Identifier: MIT
"""What tests need of the machine's /dev, which in a container may hold next to nothing."""

from __future__ import annotations

import os

import pytest

from strata.sandbox.layers import loop

LOOP = os.path.exists(loop.CONTROL)
needs_loop = pytest.mark.skipif(not LOOP, reason=f"needs loop devices ({loop.CONTROL}), for disks of sessions")
