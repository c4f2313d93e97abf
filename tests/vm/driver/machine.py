# SPDX-License-Identifier: MIT
"""The machine as a test script sees it: the part that we use of the NixOS test driver's Machine, with its meanings.

(nixos/lib/test-driver of nixpkgs; `timeout` and `secs` are seconds. Commands run in bash with `set -euo pipefail`.)
"""

from __future__ import annotations

import base64
import contextlib
import re
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from driver.qemu import Hardware, Qemu
from driver.shell import Shell
from driver.trouble import Trouble

_BOOT_SECONDS = 300.0
_LOOK_SECONDS = 0.5
Log = Callable[[str], None]


class Machine:
    """One machine, powered off until it is started."""

    def __init__(self, name: str, hardware: Hardware, directory: Path, log: Log) -> None:
        self.name, self.directory, self._log = name, directory, log
        self._hardware = hardware
        self._qemu: Qemu | None = None
        self._shell: Shell | None = None

    # -- power

    def start(self) -> None:
        """Power on: from the saved state the first time, if there is one, and by booting after that."""
        if self._qemu:
            return
        started = time.monotonic()
        self._qemu = Qemu(self._hardware, self.directory)
        resumed = self._hardware.state is not None
        self._hardware = self._hardware._replace(state=None)
        self._shell = Shell(self._qemu.shell(20.0), self._last_words)
        if resumed:
            self._resume()
        else:
            self._shell.await_ready(_BOOT_SECONDS)
        self._log(f"{self.name}: {'resumed' if resumed else 'booted to a shell'} in {time.monotonic() - started:.1f} s")

    def shutdown(self) -> None:
        """Power off in good order, and wait for it."""
        self._typed().send("systemctl poweroff\n")
        self.wait_for_shutdown()

    def wait_for_shutdown(self) -> None:
        """Until it has powered itself off."""
        if not self._running().wait(180.0):
            raise Trouble(f"{self.name} does not power off within 180 s")
        self._forget()

    def reboot(self) -> None:
        """Boot anew, in good order. (QEMU runs with -no-reboot, so it ends and is started again.)"""
        self._typed().send("systemctl reboot\n")
        self.wait_for_shutdown()
        self.start()

    def crash(self) -> None:
        """Cut the power."""
        self._running().kill()
        self._forget()

    def save(self, state: Path) -> None:
        """Write the running machine into a file, and end it. (Ours; not the NixOS driver's.)"""
        self._running().save(state)
        self.crash()

    @property
    def booted(self) -> bool:
        """Whether it is powered on."""
        return self._qemu is not None

    # -- commands

    def execute(
        self, command: str, check_return: bool = True, check_output: bool = True, timeout: int | None = 900
    ) -> tuple[int, str]:
        """Exit code and output of a command; 124 when it took longer than `timeout`."""
        self.start()
        limit = f"timeout {timeout} " if timeout else ""
        wrapped = f"{limit}bash -c {shlex.quote('set -euo pipefail; ' + command)}"
        if not check_output:
            self._typed().send(f"{wrapped}\n")
            return -2, ""
        self._typed().send(f"({wrapped}) </dev/null | (base64 -w 0; echo); echo ${{PIPESTATUS[0]}}\n")
        patience = (timeout or 900) + 60.0
        output = base64.b64decode(self._typed().line(patience)).decode(errors="replace")
        code = int(self._typed().line(patience))
        return (code, output) if check_return else (-1, output)

    def succeed(self, *commands: str, timeout: int | None = None) -> str:
        """Output of commands, each of which must exit with 0."""
        output = ""
        for command in commands:
            with self._told(f"must succeed: {command}"):
                code, said = self.execute(command, timeout=timeout or 900)
                if code:
                    raise Trouble(f"command `{command}` failed (exit code {code}):\n{said}")
                output += said
        return output

    def fail(self, *commands: str, timeout: int | None = None) -> str:
        """Output of commands, each of which must not exit with 0."""
        output = ""
        for command in commands:
            with self._told(f"must fail: {command}"):
                code, said = self.execute(command, timeout=timeout or 900)
                if code == 0:
                    raise Trouble(f"command `{command}` unexpectedly succeeded:\n{said}")
                output += said
        return output

    def wait_until_succeeds(self, command: str, timeout: int = 900) -> str:
        """Its output, as soon as it exits with 0."""
        with self._told(f"waiting for success: {command}"):
            return self._until(command, timeout, lambda code: code == 0)

    def wait_until_fails(self, command: str, timeout: int = 900) -> str:
        """Its output, as soon as it does not exit with 0."""
        with self._told(f"waiting for failure: {command}"):
            return self._until(command, timeout, lambda code: code != 0)

    def sleep(self, secs: int) -> None:
        """Seconds of the machine's own time."""
        self.succeed(f"sleep {secs}", timeout=secs + 60)

    # -- units

    def systemctl(self, q: str, user: str | None = None) -> tuple[int, str]:
        """`systemctl`, of the system or of a user's manager."""
        if user is None:
            return self.execute(f"systemctl {q}")
        runtime = "XDG_RUNTIME_DIR=/run/user/$(id -u)"
        inside = f"{runtime} DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$(id -u)/bus systemctl --user {q}"
        return self.execute(f"su -l {user} --shell /bin/sh -c {shlex.quote(inside)}")

    def get_unit_info(self, unit: str, user: str | None = None) -> dict[str, str]:
        """Properties of a unit."""
        code, said = self.systemctl(f"--no-pager show {shlex.quote(unit)}", user)
        if code:
            raise Trouble(f"cannot show {unit}: {said}")
        return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)

    def get_unit_property(self, unit: str, property: str, user: str | None = None) -> str:
        """One property of a unit."""
        found = self.get_unit_info(unit, user)
        if property not in found:
            raise Trouble(f"{unit} has no property {property}")
        return found[property]

    def wait_for_unit(self, unit: str, user: str | None = None, timeout: int = 900) -> None:
        """Until it is active. Raises as soon as it has failed, or is inactive with nothing left to do."""
        deadline = time.monotonic() + timeout
        with self._told(f"waiting for unit {unit}"):
            while (state := self.get_unit_info(unit, user).get("ActiveState", "")) != "active":
                if state == "failed":
                    raise Trouble(f"unit {unit} has failed:\n{self.systemctl(f'--no-pager status {unit}', user)[1]}")
                if state == "inactive" and self._rests(unit, user):
                    raise Trouble(f"unit {unit} is inactive and there are no pending jobs")
                if time.monotonic() > deadline:
                    raise Trouble(f"unit {unit} is still {state} after {timeout} s")
                time.sleep(_LOOK_SECONDS)

    def _rests(self, unit: str, user: str | None) -> bool:
        if "No jobs" not in self.systemctl("list-jobs --full 2>&1", user)[1]:
            return False
        return self.get_unit_info(unit, user).get("ActiveState") == "inactive"

    def require_unit_state(self, unit: str, require_state: str = "active") -> None:
        """It must be in that state now."""
        state = self.get_unit_property(unit, "ActiveState")
        if state != require_state:
            raise Trouble(f"unit {unit} is {state}, expected {require_state}")

    def start_job(self, jobname: str, user: str | None = None) -> tuple[int, str]:
        """`systemctl start`."""
        return self.systemctl(f"start {jobname}", user)

    def stop_job(self, jobname: str, user: str | None = None) -> tuple[int, str]:
        """`systemctl stop`."""
        return self.systemctl(f"stop {jobname}", user)

    # -- files and ports

    def wait_for_file(self, filename: str, timeout: int = 900) -> None:
        """Until it exists."""
        self.wait_until_succeeds(f"test -e {shlex.quote(filename)}", timeout)

    def wait_for_open_port(self, port: int, addr: str = "localhost", timeout: int = 900) -> None:
        """Until somebody listens."""
        self.wait_until_succeeds(f"exec 3<>/dev/tcp/{addr}/{port}", timeout)

    def wait_for_closed_port(self, port: int, addr: str = "localhost", timeout: int = 900) -> None:
        """Until nobody listens."""
        self.wait_until_fails(f"exec 3<>/dev/tcp/{addr}/{port}", timeout)

    def copy_from_host(self, source: str, target: str) -> None:
        """A file of the host's, through the shell."""
        encoded = base64.b64encode(Path(source).read_bytes()).decode()
        self.succeed(f"mkdir -p $(dirname {shlex.quote(target)}); : > {shlex.quote(target)}")
        for start in range(0, len(encoded), 65_536):
            self.succeed(f"echo -n {encoded[start : start + 65_536]} | base64 -d >> {shlex.quote(target)}")

    def wait_for_console_text(self, regex: str, timeout: int = 900) -> None:
        """Until a line of the console matches."""
        deadline = time.monotonic() + timeout
        with self._told(f"waiting for {regex!r} on the console"):
            while not re.search(regex, (self.directory / "console.log").read_text(errors="replace")):
                if time.monotonic() > deadline:
                    raise Trouble(f"{regex!r} did not appear on the console in {timeout} s")
                time.sleep(_LOOK_SECONDS)

    def log(self, msg: str) -> None:
        """A line in the test's log."""
        self._log(f"{self.name}: {msg}")

    # -- below the commands

    def _until(self, command: str, timeout: int, good: Callable[[int], bool]) -> str:
        deadline = time.monotonic() + timeout
        while True:
            code, said = self.execute(command, timeout=timeout)
            if good(code):
                return said
            if time.monotonic() > deadline:
                raise Trouble(f"`{command}` still exits with {code} after {timeout} s:\n{said}")
            time.sleep(_LOOK_SECONDS)

    def _resume(self) -> None:
        deadline = time.monotonic() + 60.0
        while self._running().ask("query-status")["status"] in ("inmigrate", "prelaunch"):
            if time.monotonic() > deadline:
                raise Trouble(f"{self.name} does not resume")
            time.sleep(0.05)
        self._running().ask("cont")

    def journal(self) -> str:
        """All of this boot's journal, or why there is none. (Ours; not the NixOS driver's.)"""
        if not self.booted:
            return f"{self.name} is powered off"
        try:
            return self.execute("journalctl --boot --no-pager --output=short-precise", timeout=60)[1]
        except (Trouble, OSError, ValueError) as error:
            return f"no journal: {error}"

    def _last_words(self) -> str:
        said = (self.directory / "console.log").read_text(errors="replace")[-3000:]
        return f"the console of {self.name} ends with:\n{said}"

    def _typed(self) -> Shell:
        if not self._shell:
            raise Trouble(f"{self.name} is powered off")
        return self._shell

    def _running(self) -> Qemu:
        if not self._qemu:
            raise Trouble(f"{self.name} is powered off")
        return self._qemu

    def _forget(self) -> None:
        if self._shell:
            self._shell.close()
        self._qemu = self._shell = None

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        started = time.monotonic()
        self._log(f"{self.name}: {what}")
        yield
        self._log(f"{self.name}: (done in {time.monotonic() - started:.2f} s)")
