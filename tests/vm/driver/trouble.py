# SPDX-License-Identifier: MIT
"""What the driver raises."""

from __future__ import annotations


class Trouble(Exception):
    """The machine did not do what it was asked to; the sentence says what was seen."""
