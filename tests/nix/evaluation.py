# SPDX-License-Identifier: MIT
"""Evaluating our Nix files offline, in a store of its own, against the stand-in for nixpkgs beside this file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).resolve().parent / "nixpkgs"
_CONFIG = """
experimental-features = nix-command flakes
build-users-group =
sandbox = false
substituters =
flake-registry =
"""
# What the flake reads; a checkout may hold gigabytes beside it.
_SOURCES = ("flake.nix", "flake.lock", "nixos", "strata/__init__.py", "pyproject.toml", "README.md", "LICENSE")

_MACHINE = """
let
  nixpkgs = {{
    lib = import {stand_in}/lib.nix;
    legacyPackages.x86_64-linux = import {stand_in}/pkgs.nix "x86_64-linux";
  }};
  machine = import {stand_in}/nixos/system.nix nixpkgs {{
    system = "x86_64-linux";
    modules = [
      {modules}
      ({{ pkgs, ... }}: {{
        services.strata.package = nixpkgs.lib.mkDefault pkgs.git;
        system.stateVersion = "25.11";
      }})
      ({module})
    ];
  }};
  inherit (machine) config;
in
{wanted}
"""


class Refused(Exception):
    """Nix did not evaluate; the text is what it said."""


class Nix:
    """Nix with a store below `directory`, and a copy of what the flake reads."""

    def __init__(self, directory: Path) -> None:
        self.env = {**os.environ, "NIX_CONFIG": _CONFIG, "NIX_REMOTE": str(directory / "store"), "HOME": str(directory)}
        self.flake = directory / "flake"
        for name in _SOURCES:
            copy(REPOSITORY / name, self.flake / name)

    def run(self, *argv: str) -> str:
        """Standard output of a Nix program. Raises Refused."""
        said = subprocess.run(argv, env=self.env, capture_output=True, text=True, check=False, cwd="/")
        if said.returncode:
            raise Refused(said.stderr)
        return said.stdout

    def flake_value(self, attribute: str, nixpkgs: Path = STAND_IN) -> Any:
        """The JSON of an attribute of the flake, on a tree in place of the locked nixpkgs."""
        override = ("--override-input", "nixpkgs", f"path:{nixpkgs}")
        return json.loads(
            self.run(
                "nix",
                "eval",
                "--offline",
                "--no-write-lock-file",
                *override,
                "--json",
                f"path:{self.flake}#{attribute}",
            )
        )

    def machine_value(self, module: str, wanted: str, modules: Path = REPOSITORY / "nixos/modules") -> Any:
        """The JSON of `wanted` (an expression over `config`) on a machine with our modules and `module`."""
        expression = _MACHINE.format(stand_in=STAND_IN, modules=modules, module=module, wanted=wanted)
        return json.loads(self.run("nix-instantiate", "--eval", "--strict", "--json", "--expr", expression))


def copy(source: Path, target: Path) -> None:
    """A file or a whole directory."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


def unit_text(unit: Mapping[str, Any], kind: str) -> str:
    """A unit file as NixOS writes it from these options: a list is one line for each item, true and false are words."""
    lines = ["[Unit]", f"Description={unit['description']}", *(f"After={name}" for name in unit["after"])]
    lines += [line for name, value in unit["unitConfig"].items() for line in _lines(name, value)]
    lines.append(f"[{kind}]")
    environment = unit.get("environment", {})
    lines += [f'Environment="{name}={value}"' for name, value in environment.items() if value is not None]
    lines += [line for name, value in unit[f"{kind.lower()}Config"].items() for line in _lines(name, value)]
    return "\n".join(lines) + "\n"


def _lines(name: str, value: Any) -> list[str]:
    return [f"{name}={_word(item)}" for item in (value if isinstance(value, list) else [value])]


def _word(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
