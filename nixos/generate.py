# SPDX-License-Identifier: MIT
"""Write modules/rendered.nix from what Strata renders and knows elsewhere: `python nixos/generate.py [--check]`.

So there is one text of the supervisor's unit, strata/templates/supervisor.j2, and one table of who needs whom, on NixOS
too. What depends on the configuration is left to modules/unit.nix.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from strata.installation import layout
from strata.settings import CORE_NEEDS
from strata.units import render
from strata.units.context import elsewhere
from strata.units.model import UnitText

FILE = Path(__file__).resolve().parent / "modules" / "rendered.nix"
OURS = ("Description", "After", "ExecStart", "ExecReload", "Environment", "ReadWritePaths", "RuntimeDirectory")
"""Directives that NixOS has options for, or that unit.nix writes itself."""
WHERE = msgspec.structs.replace(elsewhere(258, layout.SYSTEM), python="strata-python")
HEAD = """# SPDX-License-Identifier: MIT
# Written by nixos/generate.py from strata/templates/supervisor.j2 and slice.j2, where the reasons stand, and from
# strata/settings.py. Do not edit.
"""


def settings(unit: UnitText) -> dict[str, dict[str, list[str]]]:
    """Section to directive to its values, in the order of the text."""
    found: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in unit.text.splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            section.setdefault(name, []).append(value)
    return found


def nix() -> str:
    """The file as it must be now."""
    supervisor = settings(render.render_supervisor(WHERE, persistent=True))
    group = settings(render.render_slice(WHERE))
    value = {
        "core": {name: list(needs) for name, needs in CORE_NEEDS.items()},
        "supervisor": {
            "description": supervisor["Unit"]["Description"][0],
            "after": _words(supervisor["Unit"]["After"]),
            "wantedBy": _words(supervisor["Install"]["WantedBy"]),
            "start": supervisor["Service"]["ExecStart"][0],
            "reload": supervisor["Service"]["ExecReload"][0],
            "writable": _elsewhere(supervisor["Service"]["ReadWritePaths"]),
            "unitConfig": _plain(supervisor["Unit"]),
            "serviceConfig": _plain(supervisor["Service"]),
        },
        "slice": {"description": group["Unit"]["Description"][0], "sliceConfig": _plain(group["Slice"])},
    }
    return f"{HEAD}{_nix(value)}\n"


def _words(values: Sequence[str]) -> list[str]:
    return " ".join(values).split()


def _elsewhere(values: Sequence[str]) -> list[str]:
    """The paths that do not depend on the configuration."""
    paths = shlex.split(" ".join(values))
    return [path for path in paths if path not in (WHERE.runtime_dir, f"-{WHERE.state_dir}")]


def _plain(section: Mapping[str, list[str]]) -> dict[str, object]:
    return {key: values[0] if len(values) == 1 else values for key, values in section.items() if key not in OURS}


def _nix(value: object, indent: str = "") -> str:
    """A value as Nix, in the style of its formatter."""
    if isinstance(value, str):
        return json.dumps(value).replace("${", "\\${")
    deeper = indent + "  "
    if isinstance(value, Mapping):
        lines = [f"{deeper}{key} = {_nix(one, deeper)};\n" for key, one in value.items()]
        return "{\n" + "".join(lines) + indent + "}"
    assert isinstance(value, list)
    if len(value) < 2:
        return f"[ {_nix(value[0])} ]" if value else "[ ]"
    return "[\n" + "".join(f"{deeper}{_nix(one)}\n" for one in value) + indent + "]"


def write(file: Path, fresh: str, argv: Sequence[str]) -> int:
    """Rewrite a file, or with --check only say whether it is stale; the exit code."""
    if file.exists() and file.read_text(encoding="utf-8") == fresh:
        return 0
    if "--check" not in argv:
        file.write_text(fresh, encoding="utf-8")
    print(f"{'stale' if '--check' in argv else 'written'}: {file.name}")
    return 1 if "--check" in argv else 0


if __name__ == "__main__":
    sys.exit(write(FILE, nix(), sys.argv[1:]))
