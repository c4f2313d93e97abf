# SPDX-License-Identifier: MIT
"""s6: s6-svscan with an s6-supervise for each service, asked by s6-svc, which is its interface."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.fleet import Fleet, until
from benchmarks.place import Place
from benchmarks.process_managers.contract import CACHE, Answer, Missing, children, program

_BIN = CACHE / "debian" / "usr" / "bin"
_RUN = "#!/bin/sh\nexec {command}\n"
# Where s6-supervise lies is compiled in; one that is only unpacked is there for s6 alone, in its own mount namespace.
_BESIDE = 'mount -t overlay none -o "lowerdir=$1:/usr/bin" /usr/bin && shift && exec "$@"'


class S6:
    """A new one for each set of services."""

    name, asked = "s6", "s6-svc, a program of 30 kB"
    delay = "a second, always"

    def __init__(self, _place: Place, fleet: Fleet, directory: Path) -> None:
        self._svscan = program("s6-svscan", _BIN)
        self._svc = str(self._svscan.with_name("s6-svc"))
        self._beside = _beside(self._svscan.parent)
        libraries = ":".join(map(str, (CACHE / "debian" / "usr" / "lib").glob("*-linux-*")))
        path = f"{self._svscan.parent}:{os.environ.get('PATH', os.defpath)}"
        self._environment = {**os.environ, "LD_LIBRARY_PATH": libraries, "PATH": path}
        self._fleet, self._scan = fleet, directory / "scan"
        self._process: subprocess.Popen[bytes] | None = None
        self.version = _version(libraries)

    def declare(self, names: Sequence[str]) -> None:
        """By a directory for each."""
        self.close()
        self._scan.mkdir()
        for name in names:
            (self._scan / name).mkdir()
            run = self._scan / name / "run"
            run.write_text(_RUN.format(command=shlex.join(self._fleet.command(name))))
            run.chmod(0o755)
        most = ["-c", str(len(names) + 10)]
        words = [*self._beside, self._svscan, *most, self._scan]
        self._process = subprocess.Popen(words, env=self._environment)

    def start(self, name: str) -> Answer:
        """Answered when its supervisor has been told."""
        pid = os.posix_spawn(self._svc, ("s6-svc", "-u", str(self._scan / name)), self._environment)
        return lambda: os.waitpid(pid, 0)

    def stop(self, name: str) -> None:
        """Returns when its supervisor says that it is down."""
        subprocess.run([self._svc, "-d", self._scan / name], env=self._environment, check=True)
        until(lambda: not self._is_up(name), f"{name} is down")

    def managers(self) -> list[int]:
        """s6-svscan, and one s6-supervise for each service."""
        assert self._process
        return [self._process.pid, *children(self._process.pid)]

    def close(self) -> None:
        if self._process:
            self._process.terminate()  # it ends its supervisors, and they their services
            self._process.wait(60)
            self._process = None
            shutil.rmtree(self._scan)

    def _is_up(self, name: str) -> bool:
        words = [self._svc.replace("s6-svc", "s6-svstat"), "-o", "up", self._scan / name]
        return subprocess.run(words, env=self._environment, capture_output=True, check=True).stdout != b"false\n"


def _beside(directory: Path) -> list[str]:
    """What to run s6-svscan with. Raises Missing where it cannot find its other half."""
    if directory == Path("/usr/bin"):
        return []
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _BESIDE, "sh", str(directory)]
    tried = subprocess.run([*words, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        raise Missing(f"s6 is only unpacked, and to show it its own programs failed: {tried.stderr.strip()}")
    return words


def _version(libraries: str) -> str:
    """No program of s6 tells its version; the name of its library does."""
    for directory in (*map(Path, libraries.split(":")), *Path("/usr/lib").glob("*-linux-*")):
        for file in directory.glob("libs6.so.*.*.*"):
            return file.name.removeprefix("libs6.so.")
    return "of unknown version"
