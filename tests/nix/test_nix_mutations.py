# SPDX-License-Identifier: MIT
"""Mutations of our own Nix files: each must be caught, or the checks of this directory would be worth nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from evaluation import Nix, Refused, copy_sources

MACHINE = "(machine { services.strata.enable = true; }).config.system.build.toplevel.drvPath"
VM = "flake.nixosConfigurations.strata-vm-x86_64.config.system.build.vm.drvPath"
ISO = "flake.nixosConfigurations.strata-iso-x86_64.config.system.build.isoImage.drvPath"
PACKAGE = "flake.packages.x86_64-linux.strata.drvPath"
NODE = "flake.checks.x86_64-linux.install.drvPath"
OPTIONS = "flake.checks.x86_64-linux.options.drvPath"

# Name: file, what stands there, what is put there, what is evaluated, what is said.
MUTATIONS = {
    "syntax error": ("nixos/modules/unit.nix", "mkIf cfg.enable {", "mkIf cfg.enable", MACHINE, "syntax error"),
    "undefined variable": (
        "nixos/modules/unit.nix",
        "inherit (lib) mkIf",
        "inherit (lib) mkIff",
        MACHINE,
        "undefined variable|mkIff",
    ),
    "misspelt option of ours": ("nixos/modules/unit.nix", "cfg.runtimeDir", "cfg.runtimeDirr", MACHINE, "runtimeDirr"),
    "misspelt option of NixOS": (
        "nixos/modules/unit.nix",
        "systemd.slices.strata",
        "systemd.slice.strata",
        MACHINE,
        r"The option `systemd\.slice' does not exist",
    ),
    "misspelt option of a unit": (
        "nixos/modules/unit.nix",
        "stopIfChanged",
        "stopIfChangd",
        MACHINE,
        r"stopIfChangd' does not exist",
    ),
    "misspelt option of the network": (
        "nixos/modules/api.nix",
        "networking.firewall.allowedTCPPorts",
        "networking.firewall.allowedTCPPort",
        MACHINE,
        r"allowedTCPPort' does not exist",
    ),
    "wrong type": (
        "nixos/modules/unit.nix",
        "stopIfChanged = false",
        'stopIfChanged = "no"',
        MACHINE,
        r"stopIfChanged' is not of type `boolean'",
    ),
    "unknown type": ("nixos/modules/options.nix", "types.package", "types.pakage", MACHINE, "pakage"),
    "missing file": ("nixos/modules/default.nix", "./unit.nix", "./unti.nix", MACHINE, r"unti\.nix"),
    "module that is left out": ("nixos/modules/default.nix", "./api.nix", "", MACHINE, r"api"),
    "nested attributes in a directive": (
        "nixos/modules/rendered.nix",
        'LimitCORE = "0";',
        "LimitCORE = { soft = 0; };",
        MACHINE,
        "cannot coerce a set to a string",
    ),
    "function that lib lacks": (
        "nixos/modules/configuration.nix",
        "lib.genAttrs",
        "lib.genAtrs",
        MACHINE,
        "genAtrs",
    ),
    "argument that is not taken": ("nixos/modules/unit.nix", "  pkgs,\n", "", MACHINE, "undefined variable 'pkgs'"),
    "two declarations of an option": (
        "nixos/modules/core.nix",
        "  options.services.strata = {\n",
        '  options.services.strata = {\n    nodeId = runs "x";\n',
        MACHINE,
        r"`services\.strata\.nodeId' in `[^']*' is already declared",
    ),
    "unpackaged dependency": (
        "nixos/packages/pystemd.nix",
        "pkg-config,",
        "pkg-config,\n  pkg-confog,",
        PACKAGE,
        "pkg-confog",
    ),
    "source that is not there": ("nixos/packages/library.nix", "../../LICENSE", "../../LICENCE", PACKAGE, "LICENCE"),
    "misspelt option of the VM": (
        "nixos/machines/vm.nix",
        "virtualisation.graphics",
        "virtualisation.graphic",
        VM,
        r"virtualisation\.graphic' does not exist",
    ),
    "wrong value of the VM": (
        "nixos/machines/vm.nix",
        "virtualisation.memorySize = 2048",
        'virtualisation.memorySize = "2G"',
        VM,
        r"memorySize' is not of type",
    ),
    "misspelt option of the ISO": (
        "nixos/machines/iso.nix",
        "isoImage.makeEfiBootable",
        "isoImage.makeEfiBotable",
        ISO,
        r"isoImage\.makeEfiBotable' does not exist",
    ),
    "module of NixOS that is not there": (
        "nixos/machines/iso.nix",
        "iso-image.nix",
        "iso-imag.nix",
        ISO,
        r"iso-imag\.nix",
    ),
    "overlay in a test's node": (
        "tests/vm/install.nix",
        "{\n      specialisation",
        "{\n      nixpkgs.overlays = [ (_: _: { }) ];\n      specialisation",
        NODE,
        r"nixpkgs\.overlays is set to read-only|overlays' is (read-only|defined multiple times)",
    ),
    "misspelt option of a test": (
        "tests/vm/install.nix",
        "testScript",
        "testScrip",
        NODE,
        r"The option `testScrip' does not exist",
    ),
    "misspelt option of a test's node": (
        "tests/vm/install.nix",
        "specialisation.without",
        "specialization.without",
        NODE,
        r"specialization' does not exist",
    ),
    "script of a test that is not there": (
        "tests/vm/install.nix",
        "./nixos/install.py",
        "./nixos/instal.py",
        NODE,
        r"instal\.py",
    ),
}


@pytest.fixture(scope="module")
def copied(nix: Nix) -> Path:
    """A copy of our files to break."""
    return copy_sources(nix.directory / "mutated")


def broken(nix: Nix, copied: Path, mutation: tuple[str, str, str, str, str]) -> str:
    """What is said against a mutation, on one line."""
    file, old, new, wanted, _ = mutation
    text = (copied / file).read_text()
    assert old in text
    (copied / file).write_text(text.replace(old, new, 1))
    try:
        with pytest.raises(Refused) as caught:
            nix.of(copied).value(wanted)
    finally:
        (copied / file).write_text(text)
    return re.sub(r"\s+", " ", str(caught.value))


@pytest.mark.parametrize("name", list(MUTATIONS))
def test_a_mutation_is_caught_with_words_that_a_person_understands(either: Nix, copied: Path, name: str) -> None:
    assert re.search(MUTATIONS[name][-1], broken(either, copied, MUTATIONS[name]))


def test_an_option_without_a_description_is_caught(nix: Nix, copied: Path) -> None:
    """nixpkgs says it only when the documentation is built, which is a check of the flake."""
    described = 'description = "Whether this node runs ${what}.";'
    assert "has no description" in broken(nix, copied, ("nixos/modules/core.nix", described, "", OPTIONS, ""))


@pytest.mark.parametrize("wanted", [MACHINE, VM, ISO, PACKAGE, NODE, OPTIONS])
def test_without_a_mutation_all_of_it_evaluates(either: Nix, copied: Path, wanted: str) -> None:
    assert either.of(copied).value(wanted).endswith(".drv")
