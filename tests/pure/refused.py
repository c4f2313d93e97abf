# SPDX-License-Identifier: MIT
"""What is said of input that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from strata.errors import InvalidArgument


def refusal(read: Callable[..., Any], *given: Any) -> str:
    """The message of the error that `read` raises, nothing if it raises none."""
    try:
        read(*given)
    except InvalidArgument as error:
        return error.message
    return ""
