# SPDX-License-Identifier: MIT
"""Become a program in another root, as systemd's RootDirectory= has it: `nixos_root.py TOP UID PROGRAM ARGUMENT…`.

No chroot(2): who is in one may make no user namespaces (user_namespaces(7)).
"""

from __future__ import annotations

import os
import sys

from strata.embedded import namespaces as ns


def main(top: str, uid: int, argv: list[str]) -> None:
    """Never returns."""
    ns.unshare(ns.NEWNS)
    ns.mount("", "/", flags=ns.MS_REC | ns.MS_SLAVE)
    ns.put(ns.lift(top), top)
    for name in ("proc", "sys", "dev", "run"):
        ns.put(ns.lift(f"/{name}"), f"{top}/{name}")
    ns.pivot_into(top)
    if uid:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    os.execve(argv[0], argv, os.environ)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
