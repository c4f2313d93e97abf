# SPDX-License-Identifier: MIT
"""Trees of programs that sessions have beside /usr: how programs are had where /usr is empty (NixOS).

Each is a directory below /nix/store with `bin` in it and perhaps `share` and `lib`, such as a buildEnv; the machine's
own is what all its users have. The same path is there inside, because sessions see the store.
"""

from __future__ import annotations

import os

SYSTEM = "/run/current-system/sw"
"""The programs of a NixOS machine. The link in it leads into the store."""
ZONES = "/etc/zoneinfo"


def usual() -> tuple[str, ...]:
    """The trees of a machine whose settings name none."""
    return (SYSTEM,) if os.path.isdir(f"{SYSTEM}/bin") else ()


def environment(tools: tuple[str, ...], path: str) -> dict[str, str]:
    """What programs of the trees want to be told, beside a PATH that begins with `path`."""
    if not tools:
        return {}
    told = {"PATH": ":".join((path, *(f"{tree}/bin" for tree in tools)))}
    told["TERMINFO_DIRS"] = ":".join(there(tools, "share/terminfo"))
    told["LOCALE_ARCHIVE"] = next(iter(there(tools, "lib/locale/locale-archive")), "")
    told["TZDIR"] = ZONES if os.path.isdir(ZONES) else ""
    return {name: value for name, value in told.items() if value}


def there(tools: tuple[str, ...], name: str) -> list[str]:
    """`name` in each of the trees that has it."""
    return [path for tree in tools if os.path.exists(path := f"{tree}/{name}")]
