# SPDX-License-Identifier: MIT
"""Programs of the machine that Strata starts: where they are looked for, and how a missing one is had.

Nothing is started by an absolute path: NixOS has its programs below /nix/store, and gives units a PATH with next to
nothing on it. There STRATA_PATH says where they are; elsewhere PATH does.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

from strata.errors import InvalidArgument

VARIABLE = "STRATA_PATH"
# A user's PATH may lack these, where mke2fs is.
_USUAL = ("/usr/local/sbin", "/usr/sbin", "/sbin")
# What to install, by the family of the distribution (os-release(5), ID= and ID_LIKE=).
_COMMANDS = {
    "debian": "apt-get install {}",
    "fedora": "dnf install {}",
    "arch": "pacman -S {}",
    "nixos": "add {} to environment.systemPackages && nixos-rebuild switch   # services.strata.enable brings it",
}
_PACKAGES: dict[str, dict[str, str]] = {
    "bubblewrap": {"nixos": "pkgs.bubblewrap"},
    "e2fsprogs": {"nixos": "pkgs.e2fsprogs"},
    "fuse-overlayfs": {"nixos": "pkgs.fuse-overlayfs"},
    "util-linux": {"nixos": "pkgs.util-linux"},
    "systemd": {"nixos": "pkgs.systemd"},
    "libseccomp": {"debian": "libseccomp2", "nixos": "pkgs.libseccomp"},
    "linux": {"debian": "linux-image-amd64", "fedora": "kernel", "nixos": "pkgs.linuxPackages"},
    "python": {"debian": "python3.11 python3.11-venv", "fedora": "python3.11", "nixos": "pkgs.python3"},
    "libsystemd": {
        "debian": "libsystemd-dev gcc pkg-config python3-dev",
        "fedora": "systemd-devel gcc pkgconf python3-devel",
        "arch": "systemd-libs gcc pkgconf",
        "nixos": "pkgs.python3Packages.pystemd",
    },
}
"""Package → its name where that is another one. The kernel and libraries are here beside programs."""

_WHOLE = {
    ("nixos", "linux"): "boot.kernelPackages = pkgs.linuxPackages_latest && nixos-rebuild boot && reboot",
    ("nixos", "systemd"): "nixos-rebuild switch --upgrade",
    ("nixos", "libseccomp"): "build Strata with its own package, which names the library: services.strata.package",
    ("nixos", "shell"): "add pkgs.bashInteractive to services.strata.sandbox.packages && nixos-rebuild switch",
}
"""What takes more than one more package."""


def search_path(env: Mapping[str, str]) -> str:
    """STRATA_PATH, "" where it is not set. Raises InvalidArgument when it is no list of absolute directories."""
    text = env.get(VARIABLE, "")
    if not text:
        return ""
    for directory in text.split(":"):
        if not directory.startswith("/") or not directory.isprintable():
            raise InvalidArgument(
                f"cannot use {VARIABLE}: {directory!r} is no absolute directory; write it as PATH, with colons between"
            )
    return text


def directories(env: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Where programs are looked for, in this order."""
    env = os.environ if env is None else env
    named = f"{env.get(VARIABLE, '')}:{env.get('PATH', os.defpath)}".split(":")
    return tuple(dict.fromkeys((*(each for each in named if each.startswith("/")), *_USUAL)))


def find(name: str) -> str:
    """Path of a program, "" where there is none."""
    for directory in directories():
        if os.access(path := f"{directory}/{name}", os.X_OK) and os.path.isfile(path):
            return path
    return ""


def required(name: str, package: str) -> str:
    """Path of a program. Raises FileNotFoundError, saying how it is had."""
    if path := find(name):
        return path
    raise FileNotFoundError(errno.ENOENT, f"there is no {name}: {install(package)}")


def install(package: str, family: str = "") -> str:
    """How a package is had on this distribution, or on that of `family`: a command, or a sentence."""
    family = family or _family()
    if whole := _WHOLE.get((family, package)):
        return whole
    name = _PACKAGES.get(package, {}).get(family, package)
    if family not in _COMMANDS:
        return f"install {name} as your distribution does"
    return _COMMANDS[family].format(name)


def _family() -> str:
    import platform  # who is told what is missing can wait for it

    try:
        said = platform.freedesktop_os_release()
    except OSError:
        return ""
    words = (said.get("ID", ""), *said.get("ID_LIKE", "").split())
    return next((word for word in words if word in _COMMANDS), "")
