# SPDX-License-Identifier: MIT
"""Write modules/supervisor.nix from the units that Strata renders: `python nixos/generate.py [--check]`.

So there is one text of the supervisor's unit, strata/templates/supervisor.j2, on NixOS too. What depends on the
configuration is left to services.nix.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from strata.units import render
from strata.units.access import Access
from strata.units.context import Context
from strata.units.model import UnitText

FILE = Path(__file__).resolve().parent / "modules" / "supervisor.nix"
OURS = ("Description", "ExecStart", "Environment", "ReadWritePaths", "RuntimeDirectory", "RuntimeDirectoryMode")
"""Directives that services.nix writes itself."""
HEAD = """# SPDX-License-Identifier: MIT
# Written by nixos/generate.py from strata/templates/supervisor.j2 and slice.j2, where the reasons stand. Do not edit.
"""


def where(systemd_version: int = 258) -> Context:
    """NixOS' system manager, in the default places."""
    return Context(
        mode="system",
        systemd_version=systemd_version,
        runtime_dir="/run/strata",
        state_dir="/var/lib/strata",
        config_dir="/etc/strata",
        python="strata-python",
        code_paths=(),
        code=Access(False, (), ()),
    )


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
    supervisor, group = settings(render.render_supervisor(where())), settings(render.render_slice(where()))
    parts = (
        ("unitConfig", supervisor["Unit"]),
        ("serviceConfig", supervisor["Service"]),
        ("sliceConfig", group["Slice"]),
    )
    return HEAD + "{\n" + "".join(_set(name, directives) for name, directives in parts) + "}\n"


def _set(name: str, directives: dict[str, list[str]]) -> str:
    lines = [f"    {key} = {_value(values)};\n" for key, values in directives.items() if key not in OURS]
    return f"  {name} = {{\n{''.join(lines)}  }};\n"


def _value(values: list[str]) -> str:
    if len(values) == 1:
        return _quoted(values[0])
    return "[\n" + "".join(f"      {_quoted(value)}\n" for value in values) + "    ]"


def _quoted(value: str) -> str:
    return json.dumps(value).replace("${", "\\${")


def main(argv: Sequence[str]) -> int:
    """Rewrite the file, or with --check only say whether it is stale; the exit code."""
    fresh = nix()
    if FILE.exists() and FILE.read_text(encoding="utf-8") == fresh:
        return 0
    if "--check" not in argv:
        FILE.write_text(fresh, encoding="utf-8")
    print(f"{'stale' if '--check' in argv else 'written'}: {FILE.name}")
    return 1 if "--check" in argv else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
