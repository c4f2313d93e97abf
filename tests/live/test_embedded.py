# SPDX-License-Identifier: MIT
"""The private systemd: what it gives, what it shares, and that it leaves nothing."""

from __future__ import annotations

from machine import Manager


def test_systemctl_calls_the_system_running(manager: Manager) -> None:
    """Not `degraded`: nothing that it tried to start has failed."""
    if manager.mode == "embedded":
        assert manager.run(["systemctl", "is-system-running"]).stdout == "running\n"
