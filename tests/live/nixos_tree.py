# SPDX-License-Identifier: MIT
"""A file tree as NixOS has it, made of this machine's programs: all that runs lies in /nix/store and is loaded from
there. /bin has sh, /usr/bin has env, and there is no /lib, /lib64, /sbin or /etc/resolv.conf.

Programs are patched as Nix builds them: their loader and their libraries are named by whole paths in the store.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import strata

HOST = {"bubblewrap": ("bwrap",), "e2fsprogs": ("mke2fs",), "fuse-overlayfs": ("fuse-overlayfs",)}
"""What Strata starts on the host, each a package that STRATA_PATH names."""
INSIDE = {
    "bash": ("bash",),
    "coreutils": (*("cat", "env", "head", "id", "ls", "mkdir", "rm", "sleep", "stat", "touch"), "true"),
    "ncurses": ("tput",),
    "grep": ("grep",),
}
"""What the settings name as tools of sessions."""
USERS = {"systemd": ("systemctl", "journalctl"), "util-linux": ("unshare",)}
"""What users of the machine have beside the tools."""
_ALL = HOST | INSIDE | USERS
_LIBRARY = "libseccomp.so.2"
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
_MOUNTED = "/var/python3"
_UNUSED = ("mypy", "grpc", "ruff")  # packages with many libraries, which no service loads
SECRET = "root:$y$secret:1::::::\n"


def store(name: str) -> str:
    """Where a package lies, in the tree and wherever the tree is the root."""
    return f"/nix/store/{hashlib.sha256(name.encode()).hexdigest()[:32]}-{name}"


@dataclass(frozen=True)
class NixOS:
    """The tree at `top`. `binds`: what must be mounted into it before it is used, inside → outside."""

    top: Path
    binds: Mapping[str, Path]

    @property
    def python(self) -> str:
        return f"{store('python3')}/bin/{_PYTHON}"

    @property
    def system(self) -> str:
        """Where /run/current-system leads."""
        return store("nixos-system")

    @property
    def tools(self) -> str:
        """A tree of programs as `services.strata.sandbox.packages` makes one."""
        return store("strata-sandbox-tools")

    @property
    def strata_path(self) -> str:
        return ":".join(f"{store(package)}/bin" for package in HOST)


def make(top: Path) -> NixOS:
    """Write the tree to the empty directory `top`."""
    _libraries(top)
    for package, names in _ALL.items():
        for name in names:
            _install(top, _program(name), f"{store(package)}/bin/{name}")
    _terminfo(top)
    _tools(top)
    _system(top)
    _etc(top)
    _strata(top)
    return NixOS(top, _python(top))


def base(top: Path) -> None:
    """A root of its own, with a shell and the libraries of that shell where it looks for them."""
    shell = _program("bash")
    for path in (shell, *_loaded([shell])):
        shutil.copy(path, _inside(top, str(path)))
    _inside(top, "/bin/sh").symlink_to(shell)
    _inside(top, "/etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")


def _inside(top: Path, path: str) -> Path:
    found = top / path.lstrip("/")
    found.parent.mkdir(parents=True, exist_ok=True)
    return found


def _program(name: str) -> Path:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert found, f"{name} is not installed"
    return Path(found).resolve()


def _libraries(top: Path) -> None:
    """All libraries in one package, and libseccomp, which is not linked but loaded by Strata, in another."""
    programs = [_program(name) for names in _ALL.values() for name in names]
    packages = Path(strata.__file__).parents[1], _site_packages()
    modules = [
        path
        for path in (*_standard_library().rglob("*.so"), *packages[1].rglob("*.so"))
        if not path.relative_to(path.anchor).name.startswith(_UNUSED) and not _below_unused(path)
    ]
    for library in _loaded([*programs, Path(sys.executable).resolve(), *modules]):
        shutil.copy(library, _inside(top, f"{store('glibc')}/lib/{library.name}"))
    shutil.copy(_find_library(_LIBRARY), _inside(top, f"{store('libseccomp')}/lib/{_LIBRARY}"))


def _below_unused(path: Path) -> bool:
    return path.is_relative_to(_site_packages()) and path.relative_to(_site_packages()).parts[0].startswith(_UNUSED)


def _loaded(files: Iterable[Path]) -> list[Path]:
    said = subprocess.run(["ldd", *files], capture_output=True, text=True, check=False).stdout
    return sorted(
        {Path(word) for line in said.splitlines() for word in line.split() if word[0] == "/" and ":" not in word}
    )


def _find_library(name: str) -> str:
    said = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    return next(line.split()[-1] for line in said.splitlines() if line.split()[0] == name)


def _install(top: Path, program: Path, path: str) -> None:
    target = _inside(top, path)
    shutil.copy(program, target)
    libraries = f"{store('glibc')}/lib"
    loader = next(file.name for file in (top / libraries.lstrip("/")).iterdir() if file.name.startswith("ld-linux"))
    argv = ["patchelf", "--set-interpreter", f"{libraries}/{loader}", "--force-rpath", "--set-rpath", libraries]
    subprocess.run([*argv, target], check=True, capture_output=True)


def _terminfo(top: Path) -> None:
    found = next(path for path in (Path("/lib/terminfo"), Path("/usr/share/terminfo")) if (path / "x").is_dir())
    shutil.copy(found / "x/xterm-256color", _inside(top, f"{store('ncurses')}/share/terminfo/x/xterm-256color"))


def _tools(top: Path) -> None:
    """As buildEnv makes it: links to what each package has."""
    for package, names in INSIDE.items():
        for name in names:
            _inside(top, f"{store('strata-sandbox-tools')}/bin/{name}").symlink_to(f"{store(package)}/bin/{name}")
    _inside(top, f"{store('strata-sandbox-tools')}/share/terminfo").symlink_to(f"{store('ncurses')}/share/terminfo")


def _system(top: Path) -> None:
    """What users of the machine have, and the two programs that are outside the store."""
    shutil.copytree(
        top / store("strata-sandbox-tools").lstrip("/"), _inside(top, f"{store('nixos-system')}/sw"), symlinks=True
    )
    for package, names in USERS.items():
        for name in names:
            _inside(top, f"{store('nixos-system')}/sw/bin/{name}").symlink_to(f"{store(package)}/bin/{name}")
    _inside(top, "/bin/sh").symlink_to(f"{store('bash')}/bin/bash")
    _inside(top, "/usr/bin/env").symlink_to(f"{store('coreutils')}/bin/env")
    for name in ("dev", "proc", "root", "run", "sys", "tmp", "var/lib", "nix/var/nix/daemon-socket", "usr/local"):
        _inside(top, f"{name}/x").parent.mkdir(exist_ok=True)
    (top / "tmp").chmod(0o1777)
    (top / "nix/var/nix/daemon-socket/socket").write_text("not a session's\n")


def _etc(top: Path) -> None:
    """Links through /etc/static into the store, but for what the machine keeps to itself."""
    etc = f"{store('etc')}/etc"
    _inside(top, f"{etc}/os-release").write_text("ID=nixos\n")
    _inside(top, f"{etc}/ssl/certs/ca-certificates.crt").write_text("trusted\n")
    _inside(top, "/etc/static").symlink_to(etc)
    _inside(top, f"{etc}/zoneinfo/UTC").write_text("a zone\n")
    for name in ("os-release", "ssl/certs/ca-certificates.crt", "zoneinfo"):
        _inside(top, f"/etc/{name}").symlink_to(f"/etc/static/{name}")
    (top / "etc/passwd").write_text("root:x:0:0::/root:/run/current-system/sw/bin/bash\n")
    (top / "etc/shadow").write_text(SECRET)
    (top / "etc/shadow").chmod(0o600)


def _strata(top: Path) -> None:
    """Strata as a package for NixOS is built: with the whole path of the library that it loads."""
    package = _inside(top, f"{store('strata')}/strata")
    shutil.copytree(Path(strata.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    source = package / "sandbox/seccomp.py"
    named = f'LIBRARY = "{_LIBRARY}"'
    assert source.read_text().count(named) == 1, "what packagers replace is gone"
    source.write_text(source.read_text().replace(named, f'LIBRARY = "{store("libseccomp")}/lib/{_LIBRARY}"'))


def _python(top: Path) -> dict[str, Path]:
    """The interpreter; its modules are mounted, for they are many, and not in the store: nothing is mounted there."""
    _install(top, Path(sys.executable).resolve(), f"{store('python3')}/bin/{_PYTHON}")
    library = f"{store('python3')}/lib/{_PYTHON}"
    for name in ("site-packages", "dist-packages"):  # the second is what Debian's interpreter reads
        added = _inside(top, f"{library}/{name}/strata.pth")
        added.write_text(f"{store('strata')}\n{_MOUNTED}/modules\n")
    for entry in _standard_library().iterdir():
        if entry.name not in ("site-packages", "dist-packages", "sitecustomize.py", "__pycache__"):
            _inside(top, f"{library}/{entry.name}").symlink_to(f"{_MOUNTED}/library/{entry.name}")
    binds = {f"{_MOUNTED}/library": _standard_library(), f"{_MOUNTED}/modules": _site_packages()}
    for path in binds:
        _inside(top, f"{path}/x").parent.mkdir(exist_ok=True)
    return binds


def _standard_library() -> Path:
    return Path(os.__file__).parent


def _site_packages() -> Path:
    import msgspec

    return Path(msgspec.__file__).parents[1]
