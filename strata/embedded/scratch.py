# SPDX-License-Identifier: MIT
"""The directories behind PrivateTmp= (systemd.exec(5)), which lie in the machine's own /tmp and /var/tmp.

A systemd that ends in good order removes them; one that is killed cannot.
"""

from __future__ import annotations

import shutil
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PLACES = (Path("/tmp"), Path("/var/tmp"))
_BOOTED = Path("/run/systemd/system")  # sd_booted(3)


def sweep() -> None:
    """Remove what private systemds left of Strata's units. To be called when none is alive.

    Nothing is removed where the machine's own systemd may have units of the same names.
    """
    if _BOOTED.exists():
        return
    boot_id = _BOOT_ID.read_text(encoding="ascii").strip().replace("-", "")
    for place in _PLACES:
        for left in place.glob(f"systemd-private-{boot_id}-strata-*"):
            shutil.rmtree(left, ignore_errors=True)
