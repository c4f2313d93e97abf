# SPDX-License-Identifier: MIT
"""Write OPTIONS.md from the module's own options: `python nixos/document.py [--check]`.

A real Nix evaluates options.nix, on the stand-in for nixpkgs that the tests have; so no option can lack in the table.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from generate import write

HERE = Path(__file__).resolve().parent
FILE = HERE / "OPTIONS.md"
STAND_IN = HERE.parent / "tests/nix/nixpkgs"
PREFIX = "services.strata."
HEAD = """<!-- Written by nixos/document.py from nixos/modules. Do not edit. -->
# Options of services.strata

Where there is no default, the program's own holds, which is in [docs/manifest.md](../docs/manifest.md).
Amounts are numbers, of seconds or bytes, or text in systemd's notation: `"15min"`, `"512M"`, `"50%"`.
"""
_EXPRESSION = """
let
  pkgs = import {stand_in} {{ system = "x86_64-linux"; }};
in
builtins.attrValues (import {here}/options.nix {{ inherit pkgs; }}).optionsNix
"""
# What nixpkgs calls its types, and what people do.
_WORDS = (
    (r"[()]", ""),
    (r"^null or ", ""),
    (r"number or text such as 15min, 512M, 50%", "amount"),
    (r"absolute path outside of the Nix store, in quotes", "file outside of the store"),
    (r"attribute set of submodule|attribute set of open submodule of TOML value", "named sets"),
    (r"open submodule of TOML value|^submodule$", "set"),
    (r"attribute set of (.*)", r"set of \1"),
    (r"string matching the pattern .*|non-empty string|string", "text"),
    (r"16 bit unsigned integer; .*", "port"),
    (r"positive integer, .*|unsigned integer, .*", "whole number"),
    (r"integer between (\d+) and (\d+) .*", r"\1 to \2"),
    (r"signed integer or floating point number", "number"),
    (r'one of (".*")', lambda found: found[1].replace('"', "`")),
    (r"boolean", "true or false"),
    (r"set of true or false or number or text or list of .*", "set of directives"),
)


def options() -> list[dict[str, Any]]:
    """Every option with its type, default and description. Raises CalledProcessError with what Nix said."""
    expression = _EXPRESSION.format(stand_in=STAND_IN, here=HERE)
    argv = ("nix-instantiate", "--store", "dummy://", "--eval", "--strict", "--json", "--expr", expression)
    found: list[dict[str, Any]] = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    return found


def page(listed: Iterable[dict[str, Any]]) -> str:
    """The whole file: a table for each part of the tree."""
    parts: dict[str, list[str]] = {}
    for one in sorted(listed, key=lambda one: one["name"]):
        name = one["name"].removeprefix(PREFIX)
        part = name.partition(".")[0] if "." in name else ""
        if name in ("services", "settings"):
            part = name
        parts.setdefault(part, []).append(row(name, one))
    tables = [
        f"\n## {part or 'Strata'}\n\n| option | value | default | meaning |\n| --- | --- | --- | --- |\n{''.join(rows)}"
        for part, rows in sorted(parts.items())
    ]
    return HEAD + "".join(tables)


def row(name: str, one: dict[str, Any]) -> str:
    """One line of a table."""
    default = {None: "", "null": "", "{ }": "", "[ ]": ""}.get(one["default"], f"`{one['default']}`")
    cells = (f"`{name}`", words(one["type"]), default, sentence(one["description"]))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def words(kind: str) -> str:
    """A type in few words."""
    for pattern, said in _WORDS:
        kind = re.sub(pattern, said, kind)
    return kind


def sentence(text: str) -> str:
    """A description on one line, without the roles of NixOS' markup."""
    return re.sub(r"\{\w+\}`", "`", " ".join(text.split()))


if __name__ == "__main__":
    sys.exit(write(FILE, page(options()), sys.argv[1:]))
