# SPDX-License-Identifier: MIT
"""The machine with Strata's package installed: made once for each package, saved while it runs, and gone on from."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from driver import accelerator, package
from driver.machine import Log, Machine
from driver.qemu import PROGRAM, Hardware
from driver.trouble import Trouble

REPOSITORY = Path(__file__).resolve().parents[3]
VM = REPOSITORY / ".cache" / "vm"
_EMPTY_MIB = 256
HEALTHY = "strata-ctl status"
"""Exits with 0 when all is Healthy."""
_BEFORE = "find / -xdev -path /proc -prune -o -path /tmp -prune -o -path /var/log/journal -prune -o -print | sort"


class Installed(NamedTuple):
    """A saved machine: its directory holds disk.qcow2, empty.qcow2, payload.img and the state."""

    directory: Path
    accelerator: str


def installed(log: Log) -> Installed:
    """The saved machine; made when there is none with this very package on this very image."""
    with (VM / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _installed((package.build(), package.build(package.NEWER)), log)


def _installed(packages: tuple[Path, Path], log: Log) -> Installed:
    key = _key(packages)
    place = VM / "installed"
    found = (place / "key").read_text().split() if (place / "key").exists() else []
    if found[:1] == [key]:
        return Installed(place, found[1])
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    chosen = accelerator.choose(VM / "vmlinuz", VM / "initrd")
    log(f"accelerator: {chosen}")
    _disks(place, packages)
    machine = Machine("machine", _hardware(place, chosen), place, log)
    try:
        _install(machine)
        machine.save(place / "state")
    except BaseException:
        log(machine.journal())
        raise
    finally:
        if machine.booted:
            machine.crash()
    (place / "key").write_text(f"{key} {chosen}")
    return Installed(place, chosen)


def machine(saved: Installed, directory: Path, log: Log) -> Machine:
    """A machine that goes on from the saved one; what it writes goes into `directory`."""
    for disk in ("disk", "empty"):
        _overlay(saved.directory / f"{disk}.qcow2", "qcow2", directory / f"{disk}.qcow2")
    hardware = _hardware(directory, saved.accelerator)
    return Machine(
        "machine",
        hardware._replace(payload=saved.directory / "payload.img", state=saved.directory / "state"),
        directory,
        log,
    )


def _key(packages: tuple[Path, Path]) -> str:
    qemu = subprocess.run([PROGRAM, "--version"], check=True, capture_output=True).stdout
    files = [VM / "key", packages[0], *sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"".join([qemu, *(file.read_bytes() for file in files)])).hexdigest()[:16]


def _hardware(directory: Path, chosen: str) -> Hardware:
    return Hardware(
        kernel=VM / "vmlinuz",
        initrd=VM / "initrd",
        disk=directory / "disk.qcow2",
        empty=directory / "empty.qcow2",
        payload=directory / "payload.img",
        accelerator=chosen,
    )


def _disks(place: Path, packages: tuple[Path, Path]) -> None:
    _overlay(VM / "root.img", "raw", place / "disk.qcow2")
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", str(place / "empty.qcow2"), f"{_EMPTY_MIB}M"], check=True
    )
    payload = place / "payload"
    payload.mkdir()
    for source, name in zip(packages, ("strata.deb", "strata-newer.deb"), strict=True):
        shutil.copyfile(source, payload / name)
    size = sum(file.stat().st_size for file in payload.iterdir()) // (1 << 20) + 16
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-d", str(payload), str(place / "payload.img"), f"{size}M"], check=True
    )
    shutil.rmtree(payload)


def _overlay(below: Path, form: str, disk: Path) -> None:
    _run("qemu-img", "create", "-q", "-f", "qcow2", "-b", below, "-F", form, disk)


def _run(*command: str | Path) -> None:
    said = subprocess.run(command, check=False, capture_output=True, text=True)
    if said.returncode:
        raise Trouble(f"cannot make the machine's disks: {command[0]}: {said.stderr.strip()}")


def _install(machine: Machine) -> None:
    """As a user installs a package: apt, and nothing else."""
    started = time.monotonic()
    machine.start()
    machine.succeed("mount -o ro /dev/vdc /payload")
    machine.succeed(f"{_BEFORE} > /tmp/before-install")
    machine.succeed("DEBIAN_FRONTEND=noninteractive apt-get install --yes /payload/strata.deb", timeout=600)
    machine.wait_for_unit("strata-supervisor.service", timeout=120)
    machine.wait_until_succeeds(HEALTHY, timeout=300)
    machine.log(f"from power on to Healthy, with the installation: {time.monotonic() - started:.0f} s")
