# SPDX-License-Identifier: MIT
"""Being `nobody`, who can run this checkout wherever it lies.

Where it is hidden, by root's home say, it is shown in a mount namespace of the test's own.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from node import CTL, NOBODY

_CHECKOUT = Path(__file__).resolve().parents[2]
_CLOSED = next((above for above in reversed(CTL.parents) if above.stat().st_mode & 0o005 != 0o005), None)

SHOW = (
    f"""
checkout={shlex.quote(str(_CHECKOUT))} closed={shlex.quote(str(_CLOSED))}
mkdir -p "$top/checkout"
mount --bind "$checkout" "$top/checkout"
mount -t tmpfs -o mode=0755 tmpfs "$closed"
for part in .venv strata; do
    mkdir -p "$checkout/$part"
    mount --bind "$top/checkout/$part" "$checkout/$part"
done
"""
    if _CLOSED
    else ""
)
"""The part of a root's script that shows it, in a mount namespace of its own; needs $top, an open directory."""


def argv(top: Path, *command: str | Path) -> list[str]:
    """What root runs so that nobody runs `command`; `top` is an open directory."""
    script = f'set -eu; top=$1; shift; {SHOW}\nexec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh", str(top), *map(str, command)]
