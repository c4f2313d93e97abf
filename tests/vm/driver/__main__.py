# SPDX-License-Identifier: MIT
"""`python -m driver [SCRIPT.py]` in tests/vm: run one script, or type commands into the installed machine."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from driver import place, script


def main(argv: list[str]) -> int:
    """The exit code of the script, or of the last command."""
    started = time.monotonic()

    def log(text: str) -> None:
        print(f"{time.monotonic() - started:7.1f} {text}", file=sys.stderr, flush=True)

    saved = place.installed(log)
    with tempfile.TemporaryDirectory(prefix="strata-vm-") as directory:
        machine = place.machine(saved, Path(directory), log)
        if argv:
            script.run(Path(argv[0]), machine, log)
            return 0
        try:
            machine.start()
            for line in sys.stdin:
                code, output = machine.execute(f"exec 2>&1; {line.strip()}")
                print(f"{output}[{code}]", flush=True)
        finally:
            machine.crash()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
