# SPDX-License-Identifier: MIT
"""Where a systemd manager listens."""

from __future__ import annotations

import os


def default_address() -> str:
    """The private socket of the manager that rules this process: the system's for root, else the user's."""
    if os.geteuid() == 0:
        return "unix:path=/run/systemd/private"
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}")
    return f"unix:path={runtime}/systemd/private"
