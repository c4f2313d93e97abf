# SPDX-License-Identifier: MIT
"""Another text for a transient unit that is loaded, so that its next start is another one's.

A unit that anything refers to stays loaded, and StartTransientUnit takes no name that is: a service could be declared
anew only without its socket, whose clients would be refused meanwhile. But a transient unit is read from a file like
any other, which systemd looks at again when it reloads (systemd.unit(5), UNIT FILE LOAD PATH).
"""

from __future__ import annotations

from pathlib import Path

from strata import durable
from strata.errors import Conflict
from strata.systemd.bus import Bus

_DIRECTORY = "transient"


def rewrite(bus: Bus, name: str, text: str) -> None:
    """Have a loaded transient unit say `text`; what runs goes on as it was started. systemd reads its units anew.

    Raises Conflict when the unit is not a transient one, Unavailable when its file cannot be written.
    """
    path = Path(bus.fragment(name))
    if path.name != name or path.parent.name != _DIRECTORY:
        raise Conflict(f"cannot declare {name} anew: it is not a transient unit but {path}")
    with durable.told(f"declare {name} anew"):
        durable.replace(path, text.encode(), 0o644)
    bus.reload()
