# SPDX-License-Identifier: MIT
"""The flake as a whole: it parses, its lock fits, every output evaluates."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from evaluation import REPOSITORY, Nix

FOLDERS = (REPOSITORY / "nixos", REPOSITORY / "tests")
FILES = [REPOSITORY / "flake.nix", *sorted(file for folder in FOLDERS for file in folder.rglob("*.nix"))]
MACHINES = ("strata-vm-x86_64", "strata-vm-aarch64", "strata-iso-x86_64", "strata-iso-aarch64")
SYSTEMS = ("x86_64-linux", "aarch64-linux")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_every_nix_file_parses_and_names_only_what_is_in_scope(nix: Nix, file: Path) -> None:
    assert nix.run("nix-instantiate", "--parse", str(file))


def test_the_lock_fits_the_flake(nix: Nix) -> None:
    assert nix.run("nix", "flake", "metadata", "--offline", "--no-update-lock-file", f"path:{nix.repository}")


def test_nix_flake_check_accepts_every_output(nix: Nix) -> None:
    """Of both systems, as far as `nix flake check` looks: packages, modules, machines, shells, checks, overlays."""
    nix.flake("flake", "check", "--no-build")


def test_nix_flake_show_lists_what_a_user_may_take(nix: Nix) -> None:
    shown = json.loads(nix.flake("flake", "show", "--json"))
    assert {"strata", "default"} <= set(shown["nixosModules"])
    assert set(MACHINES) == set(shown["nixosConfigurations"])
    assert set(SYSTEMS) == set(shown["packages"]) == set(shown["devShells"]) == set(shown["checks"])
    assert set(shown["overlays"]) == {"default"}


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_flake_has_the_packages_that_the_predecessor_had(either: Nix, system: str) -> None:
    names = either.value(f"lib.mapAttrs (_: one: one.drvPath) flake.packages.{system}")
    assert {"default", "strata", "strata-ctl", "supervisor", "registry", "identity", "fs"} <= set(names)
    assert len({names[name] for name in ("default", "strata-ctl", "supervisor", "registry", "identity", "fs")}) == 1


def test_the_flakes_package_has_the_version_of_the_code(either: Nix) -> None:
    from strata import __version__

    assert either.value("flake.packages.x86_64-linux.strata.library.version") == __version__


@pytest.mark.parametrize(
    "attribute",
    [
        "devShells.x86_64-linux.default",
        "devShells.aarch64-linux.default",
        "formatter.x86_64-linux",
        "nixosConfigurations.strata-vm-x86_64.config.system.build.toplevel",
        "nixosConfigurations.strata-vm-x86_64.config.system.build.vm",
        "nixosConfigurations.strata-vm-aarch64.config.system.build.vm",
        "nixosConfigurations.strata-iso-x86_64.config.system.build.isoImage",
        "nixosConfigurations.strata-iso-aarch64.config.system.build.isoImage",
    ],
)
def test_112_the_flakes_outputs_evaluate(either: Nix, attribute: str) -> None:
    assert either.value(f"flake.{attribute}.drvPath").endswith(".drv")


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_check_is_a_derivation(either: Nix, system: str) -> None:
    checks = either.value(f"lib.mapAttrs (_: one: one.drvPath) flake.checks.{system}")
    assert checks
    assert all(path.endswith(".drv") for path in checks.values())


def test_the_overlay_gives_another_nixpkgs_the_package(either: Nix) -> None:
    own = either.value("(pkgs.extend flake.overlays.default).strata.drvPath")
    assert own == either.value("flake.packages.x86_64-linux.strata.drvPath")


@pytest.mark.parametrize("machine", MACHINES)
def test_112_strata_ctl_is_on_the_path_of_the_machines(either: Nix, machine: str) -> None:
    wanted = "map (one: one.drvPath or null) config.environment.systemPackages"
    system = "aarch64-linux" if "aarch64" in machine else "x86_64-linux"
    found = either.value(f"let inherit (flake.nixosConfigurations.{machine}) config; in {wanted}")
    assert either.value(f"flake.packages.{system}.strata.drvPath") in found


@pytest.mark.parametrize("machine", MACHINES)
def test_no_machine_has_a_password(either: Nix, machine: str) -> None:
    keys = ("password", "hashedPassword", "initialPassword", "initialHashedPassword", "hashedPasswordFile")
    wanted = "lib.mapAttrsToList (_: user: [ " + " ".join(f"user.{key}" for key in keys) + " ]) "
    found = either.value(f"{wanted} flake.nixosConfigurations.{machine}.config.users.users")
    assert {password for user in found for password in user} <= {None, "!"}


@pytest.mark.parametrize("generator", ["generate.py", "lock.py", "document.py"])
def test_what_is_generated_is_up_to_date(generator: str) -> None:
    """`make docs` writes it anew."""
    command = [sys.executable, str(REPOSITORY / "nixos" / generator), "--check"]
    assert subprocess.run(command, check=False).returncode == 0


def test_every_library_that_strata_needs_is_in_its_package(nix: Nix) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = {name.partition(">")[0].partition("[")[0] for name in project["dependencies"]}
    found = nix.value("map (one: one.pname) flake.packages.x86_64-linux.strata.library.dependencies")
    assert set(found) == wanted


def test_every_option_is_described(either: Nix) -> None:
    """The documentation of options is a check of the flake; one without a description fails it."""
    assert either.value("flake.checks.x86_64-linux.options.drvPath").endswith(".drv")
