# SPDX-License-Identifier: MIT
"""What a worker can be asked to do: name → function.

A function takes the plan's arguments and the caller's descriptors, and returns its answer, or yields the parts of a
stream. It raises OSError or one of strata.errors. The last three run outside, on the session's layers. Everything it
needs is imported with this module: in a session the files around are the sandbox's, and nothing of ours is among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from strata.sandbox.files import inside, layered, removing, transfer, watching

Work = Callable[[dict[str, Any], list[int]], dict[str, Any] | Iterator[dict[str, Any]]]

WORKS: Final[dict[str, Work]] = {
    "stat": inside.stat,
    "list": inside.listing,
    "mkdir": inside.mkdir,
    "move": inside.move,
    "remove": removing.remove,
    "put": transfer.put,
    "get": transfer.get,
    "watch": watching.watch,
    "diff": layered.changes,
    "export": layered.export,
    "snapshot": layered.snapshot,
}
