# SPDX-License-Identifier: MIT
"""Write packages/libraries.json from requirements/*.lock: `python nixos/lock.py [--check]`.

NixOS runs the very versions that the tests ran with, whatever its own package set has: for each locked library the
wheel for NixOS' Python on each machine, its hash, and which of the others it needs. `scripts/lock` calls this; it takes
pip and the library `packaging`. With --check nothing is fetched: it says whether the table still is what is locked.
"""

from __future__ import annotations

import base64
import email
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FILE = HERE / "packages" / "libraries.json"
LOCKS = {"run": HERE.parent / "requirements/run.lock", "test": HERE.parent / "requirements/test.lock"}
PYTHON = "3.13"  # python313 of packages/default.nix
MACHINES = {"x86_64-linux": "x86_64", "aarch64-linux": "aarch64"}
_GLIBC = ("2014", "_2_17", "_2_24", "_2_26", "_2_27", "_2_28", "_2_31", "_2_34")
SOURCES = ("pystemd",)
"""Libraries that come as source alone: no wheel can know the machine's libsystemd."""

_PIN = re.compile(r"^([a-z0-9-]+)==(\S+)(?: ; (.*?))? \\$", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def locked(group: str) -> dict[str, tuple[str, str, set[str]]]:
    """Name → version, environment marker, SHA-256 sums of its files."""
    text = LOCKS[group].read_text(encoding="utf-8")
    pins = list(_PIN.finditer(text))
    ends = [pin.start() for pin in pins[1:]] + [len(text)]
    return {
        pin[1]: (pin[2], pin[3] or "", set(_HASH.findall(text, pin.end(), end)))
        for pin, end in zip(pins, ends, strict=True)
    }


def wanted(group: str) -> dict[str, tuple[str, str, set[str]]]:
    """Those of a lock that are installed on NixOS."""
    from packaging.markers import Marker

    return {
        name: pin for name, pin in locked(group).items() if not pin[1] or Marker(pin[1]).evaluate(environment("x86_64"))
    }


def environment(machine: str) -> dict[str, str]:
    """What environment markers see there (PEP 508)."""
    return {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{PYTHON}.0",
        "python_version": PYTHON,
        "sys_platform": "linux",
        "extra": "",
    }


def fetch(pins: Mapping[str, tuple[str, str, set[str]]], machine: str, directory: Path) -> None:
    """All files for one kind of machine, their hashes compared with the lock's. Raises CalledProcessError."""
    lines = [
        " ".join((f"{name}=={version}", *(f"--hash=sha256:{one}" for one in sorted(sums))))
        for name, (version, _, sums) in pins.items()
    ]
    platforms = [f"--platform=manylinux{one}_{machine}" for one in _GLIBC]
    wheels = ("--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON}", *platforms)
    for how, sources in ((wheels, False), (("--no-binary=:all:",), True)):
        chosen = [line for line in lines if (line.partition("==")[0] in SOURCES) == sources]
        if chosen:
            given = directory / "requirements.txt"
            given.write_text("\n".join(chosen), encoding="utf-8")
            argv = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", *how)
            subprocess.run((*argv, "--dest", str(directory), "-r", str(given)), check=True)
            given.unlink()


def about(file: Path) -> email.message.Message:
    """What a wheel or a source archive says of itself (core metadata)."""
    if file.suffix == ".whl":
        with zipfile.ZipFile(file) as wheel:
            (name,) = (name for name in wheel.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
            return email.message_from_bytes(wheel.read(name))
    with tarfile.open(file) as archive:
        member = archive.extractfile(f"{file.name.removesuffix('.tar.gz')}/PKG-INFO")
        assert member is not None
        return email.message_from_bytes(member.read())


def entry(file: Path) -> dict[str, str]:
    """What fetchPypi takes."""
    digest = base64.b64encode(hashlib.sha256(file.read_bytes()).digest()).decode()
    if file.suffix != ".whl":
        return {"pname": file.name.rpartition("-")[0], "hash": f"sha256-{digest}"}
    pname, _, python, abi, platform = file.name.removesuffix(".whl").split("-")
    return {"pname": pname, "python": python, "abi": abi, "platform": platform, "hash": f"sha256-{digest}"}


def requirements(said: Mapping[str, email.message.Message], machine: str) -> dict[str, list[str]]:
    """Name → names that it needs; an extra that somebody asks for counts for all."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    extras: dict[str, set[str]] = {name: {""} for name in said}
    while True:
        needs: dict[str, set[str]] = {name: set() for name in said}
        before = {name: set(some) for name, some in extras.items()}
        for name, message in said.items():
            for line in message.get_all("Requires-Dist") or ():
                one = Requirement(line)
                if one.marker and not any(
                    one.marker.evaluate(environment(machine) | {"extra": extra}) for extra in before[name]
                ):
                    continue
                needs[name].add(canonicalize_name(one.name))
                extras[canonicalize_name(one.name)] |= one.extras
        if extras == before:
            return {name: sorted(some) for name, some in needs.items()}


def table() -> dict[str, Any]:
    """The file as it must be now."""
    from packaging.utils import canonicalize_name

    run, both = wanted("run"), wanted("run") | wanted("test")
    found: dict[str, Any] = {name: {"version": pin[0], "files": {}} for name, pin in both.items()}
    for system, machine in MACHINES.items():
        with tempfile.TemporaryDirectory() as directory:
            fetch(both, machine, Path(directory))
            files = {canonicalize_name(re.split(r"-\d", file.name)[0]): file for file in Path(directory).iterdir()}
            needs = requirements({name: about(file) for name, file in files.items()}, machine)
            for name, file in files.items():
                kind = "source" if name in SOURCES else "any" if file.name.endswith("-any.whl") else system
                found[name]["files"][kind] = entry(file)
                found[name].update(group="run" if name in run else "test", needs=needs[name])
    return found


def stale() -> Iterator[str]:
    """What the table has and the locks have not, or the other way round."""
    held = json.loads(FILE.read_text(encoding="utf-8"))
    pins = locked("test") | locked("run")
    for name in sorted(name for name, pin in pins.items() if not pin[1] and name not in held):
        yield f"{name} is missing"
    for name, one in held.items():
        version, _, sums = pins.get(name, ("", "", set()))
        if one["version"] != version:
            yield f"{name} is {one['version']}, and locked is {version or 'none'}"
        for file in one["files"].values():
            if base64.b64decode(file["hash"].removeprefix("sha256-")).hex() not in sums:
                yield f"{name}: a file that is not locked"


def main(argv: Sequence[str]) -> int:
    """Write the table, or with --check only say what is stale in it; the exit code."""
    if "--check" not in argv:
        FILE.write_text(json.dumps(table(), indent=2, sort_keys=True) + "\n", encoding="utf-8")
    problems = list(stale())
    for problem in problems:
        print(f"stale: {FILE.name}: {problem}; run scripts/lock", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
