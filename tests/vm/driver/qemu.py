# SPDX-License-Identifier: MIT
"""One QEMU process: its command line, its monitor, and its end."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

from driver.trouble import Trouble

PROGRAM = "qemu-system-x86_64"
_KERNEL_LINE = "console=ttyS0 root=/dev/vda rw quiet panic=-1 mitigations=off nokaslr systemd.show_status=no"

_EMULATED = "Nehalem-v1,+fsgsbase,+rdrand,+x2apic,+tsc-deadline"
"""Without the fast `rep movsb` of later processors (ERMS, FSRM), which every copy then takes, and which is emulated
byte by byte: a machine with all that can be emulated (`max`) starts Python 1.8 times as slowly."""


class Hardware(NamedTuple):
    """What the machine is made of: /dev/vda to boot from, /dev/vdb empty, /dev/vdc with files for it, read-only.

    `state` is a saved state to go on from.
    """

    kernel: Path
    initrd: Path
    disk: Path
    empty: Path
    payload: Path
    state: Path | None = None
    memory_mib: int = 2048
    cores: int = 2
    accelerator: str = "tcg"


class Qemu:
    """A started machine. `directory` gets its sockets and console.log."""

    def __init__(self, hardware: Hardware, directory: Path) -> None:
        self.directory = directory
        self.console = directory / "console.log"
        with (directory / "qemu.log").open("ab") as log:
            self.process = subprocess.Popen(
                _command(hardware, directory), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._monitor = self._connect("monitor")
            self._lines = self._monitor.makefile("rb")
            self._receive()  # the greeting
            self.ask("qmp_capabilities")
        except BaseException:
            self.kill()
            raise

    def ask(self, command: str, **arguments: Any) -> Any:
        """The answer to a command of the monitor (QEMU Machine Protocol). Raises Trouble."""
        self._monitor.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            said = self._receive()
            if "error" in said:
                raise Trouble(f"{command}: {said['error']['desc']}")
            if "return" in said:
                return said["return"]

    def save(self, state: Path, seconds: float = 120.0) -> None:
        """Write memory and devices into a file; the machine is stopped then."""
        self.ask("stop")
        self.ask("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self.ask("migrate", uri=f"exec:cat > {state}")
        deadline = time.monotonic() + seconds
        while (status := self.ask("query-migrate").get("status")) not in ("completed", "failed"):
            if time.monotonic() > deadline:
                raise Trouble(f"saving the machine's state takes longer than {seconds:.0f} s")
            time.sleep(0.1)
        if status == "failed":
            raise Trouble("the machine's state could not be saved")

    def shell(self, seconds: float) -> socket.socket:
        """The virtual console's other end."""
        return self._connect("shell", seconds)

    def wait(self, seconds: float) -> bool:
        """Whether the process has ended by itself within that time."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self._close()
        return True

    def kill(self) -> None:
        """Pull the plug: what the guest had not written to its disk is lost."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._close()

    def _close(self) -> None:
        for name in ("_lines", "_monitor"):
            if hasattr(self, name):
                getattr(self, name).close()

    def _receive(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise Trouble(f"QEMU has ended: {self.last_words()}")
        said: dict[str, Any] = json.loads(line)
        return said

    def _connect(self, name: str, seconds: float = 20.0) -> socket.socket:
        deadline = time.monotonic() + seconds
        while True:
            end = socket.socket(socket.AF_UNIX)
            try:
                end.connect(str(self.directory / name))
            except OSError as error:
                end.close()
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise Trouble(f"QEMU does not answer: {self.last_words()}") from error
                time.sleep(0.02)
            else:
                return end

    def last_words(self) -> str:
        """The end of what QEMU printed itself."""
        return (self.directory / "qemu.log").read_text(errors="replace")[-2000:].strip() or "it printed nothing"


def installed() -> bool:
    """Whether there is a QEMU here."""
    return shutil.which(PROGRAM) is not None


def _command(hardware: Hardware, directory: Path) -> list[str]:
    cpu = "host" if hardware.accelerator == "kvm" else _EMULATED
    accelerator = "kvm" if hardware.accelerator == "kvm" else "tcg,thread=multi,tb-size=512"
    # It ends with who started it, however that ends (setpriv(1), PR_SET_PDEATHSIG).
    command = ["setpriv", "--pdeathsig", "KILL", PROGRAM, "-accel", accelerator, "-cpu", cpu]
    command += ["-smp", str(hardware.cores), "-m", str(hardware.memory_mib)]
    command += ["-nodefaults", "-display", "none", "-no-reboot", "-rtc", "base=utc,clock=vm"]
    command += ["-kernel", str(hardware.kernel), "-initrd", str(hardware.initrd), "-append", _KERNEL_LINE]
    command += ["-drive", f"file={hardware.disk},format=qcow2,if=virtio,cache=writeback"]
    command += ["-drive", f"file={hardware.empty},format=qcow2,if=virtio,cache=writeback"]
    command += ["-drive", f"file={hardware.payload},format=raw,if=virtio,readonly=on"]
    command += ["-chardev", f"file,id=console,path={directory / 'console.log'},append=on", "-serial", "chardev:console"]
    command += ["-qmp", f"unix:{directory / 'monitor'},server=on,wait=off"]
    command += ["-chardev", f"socket,id=shell,path={directory / 'shell'},server=on,wait=off"]
    command += ["-device", "virtio-serial", "-device", "virtconsole,chardev=shell"]
    command += ["-object", "rng-random,id=random,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=random"]
    if hardware.state:
        command += ["-incoming", f"exec:cat {hardware.state}"]
    return command
