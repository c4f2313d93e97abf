# SPDX-License-Identifier: MIT
"""Evaluating and building our Nix files offline, in a store of its own.

On the stand-in for nixpkgs beside this file, or on a checkout of the real one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).resolve().parent / "nixpkgs"
NEEDS_TREE = "needs a checkout of nixpkgs and a Nix that it accepts: NIXPKGS=/path make nix"
# What the flake reads; a checkout may hold gigabytes beside it.
SOURCES = (
    "flake.nix",
    "flake.lock",
    "nixos",
    "strata",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "tests/vm",
    "docs",
    "scripts",
)
# With a store elsewhere than /nix, a build sees only what is named here: this machine's programs, and this checkout.
_SEEN = ("/bin", "/sbin", "/usr", "/lib", "/lib64", "/etc", str(REPOSITORY), sys.prefix, sys.base_prefix)
_CONFIG = f"""
experimental-features = nix-command flakes
build-users-group =
sandbox = false
sandbox-paths = {" ".join(sorted({path for path in _SEEN if Path(path).exists()}))}
substituters =
flake-registry =
"""
# The flake's own code, with the tree in place of its input; on a real tree it needs what a machine cannot be without.
_PRELUDE = """
let
  nixpkgs = (import ({tree} + "/flake.nix")).outputs {{ self = nixpkgs; }} // {{ outPath = toString {tree}; }};
  flake = (import ({repository} + "/flake.nix")).outputs {{ self = flake; inherit nixpkgs; }}
    // {{ outPath = toString {repository}; }};
  inherit (nixpkgs) lib;
  pkgs = nixpkgs.legacyPackages.x86_64-linux;
  machine = module: lib.nixosSystem {{
    system = "x86_64-linux";
    modules = [
      flake.nixosModules.strata
      module
      {{
        system.stateVersion = "26.05";
        boot.loader.grub.enable = false;
        fileSystems."/" = {{
          device = "/dev/vda";
          fsType = "ext4";
        }};
      }}
    ];
  }};
in
"""
_STORE_PATH = re.compile(r"/nix/store/[0-9a-z]{32}-([A-Za-z0-9_+.-]+)")
_VERSION = re.compile(r"-\d[A-Za-z0-9_+.]*(-bin)?$|-bin$")
# NixOS gives these to every service.
_DEFAULTS = re.compile(r'^Environment="(LOCALE_ARCHIVE|TZDIR|PATH)=.*\n', re.MULTILINE)


class Refused(Exception):
    """Nix did not evaluate or build; the text is what it said."""


class Nix:
    """Nix with a store below `directory`, for a copy of our files and a tree of nixpkgs."""

    def __init__(self, directory: Path, repository: Path, tree: Path = STAND_IN) -> None:
        self.directory, self.tree, self.repository = directory, tree, repository
        self.env = {
            **os.environ,
            "NIX_CONFIG": _CONFIG,
            "NIX_REMOTE": str(directory / "store"),
            "HOME": str(directory),
            "STRATA_PYTHON": sys.executable,
        }

    def on(self, tree: Path) -> Nix:
        """The same store, on another tree."""
        return Nix(self.directory, self.repository, tree)

    def of(self, repository: Path) -> Nix:
        """The same store and tree, for another copy of our files."""
        return Nix(self.directory, repository, self.tree)

    @property
    def is_stand_in(self) -> bool:
        """Whether this is not the real nixpkgs."""
        return self.tree == STAND_IN

    def run(self, *argv: str) -> str:
        """Standard output of a Nix program. Raises Refused."""
        said = subprocess.run(argv, env=self.env, capture_output=True, text=True, check=False, cwd="/")
        if said.returncode:
            raise Refused(said.stderr)
        return said.stdout

    def expression(self, wanted: str) -> str:
        """`wanted` with `lib`, `pkgs`, `flake` and `machine` in scope."""
        return _PRELUDE.format(tree=self.tree, repository=self.repository) + wanted

    def value(self, wanted: str) -> Any:
        """The JSON of an expression. Raises Refused."""
        argv = ("nix-instantiate", "--eval", "--strict", "--json", "--expr", self.expression(wanted))
        return json.loads(self.run(*argv))

    def config(self, module: str, wanted: str) -> Any:
        """The JSON of `wanted`, an expression over `config`, on a machine with `module`. Raises Refused."""
        return self.value(f"let inherit (machine ({module})) config; in {wanted}")

    def build(self, wanted: str) -> Path:
        """Where a derivation was built. Raises Refused, with what its builder said."""
        argv = ("nix-build", "--no-out-link", "--log-lines", "40", "--expr", self.expression(wanted))
        return self.directory / "store" / self.run(*argv).strip().lstrip("/")

    def flake(self, *argv: str) -> str:
        """`nix flake check` and the like, as one types them. Raises Refused."""
        override = ("--override-input", "nixpkgs", f"path:{self.tree}")
        return self.run("nix", *argv, "--offline", "--no-write-lock-file", *override, f"path:{self.repository}")


def copy_sources(target: Path) -> Path:
    """What the flake reads, in a directory of its own."""
    for name in SOURCES:
        copy(REPOSITORY / name, target / name)
    return target


def copy(source: Path, target: Path) -> None:
    """A file or a whole directory."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".cache"))
    else:
        shutil.copyfile(source, target)


def remove(directory: Path) -> None:
    """A directory with a store, which is read-only even to its owner."""
    subprocess.run(["chmod", "-R", "u+w", str(directory)], check=True)
    shutil.rmtree(directory)


def comparable(text: str) -> str:
    """The text of a unit without what differs from tree to tree: hashes and versions of packages, NixOS' defaults."""

    def name(found: re.Match[str]) -> str:
        return "/nix/store/" + _VERSION.sub("", found[1])

    return _STORE_PATH.sub(name, _DEFAULTS.sub("", text))
