# SPDX-License-Identifier: MIT
"""The nodes of tests/vm as NixOS tests: each is a whole machine that is what the Debian machine of the driver is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from evaluation import REPOSITORY, Nix, comparable
from unit_words import verify

VM = REPOSITORY / "tests/vm"
NODES = sorted(file.stem for file in VM.glob("*.nix") if file.stem != "default")
LONG = sorted(file.stem for file in VM.glob("long/*.nix"))
SWITCHED = {"install", "upgrade"}
"""On Debian these are about the package; on NixOS a switch does it, by a script of its own."""
SCRIPTED = [name for name in NODES if (VM / f"{name}.py").exists() or (VM / f"nixos/{name}.py").exists()] + LONG
LOOK = """let node = flake.checks.x86_64-linux.NAME.nodes.machine; in {
  inherit (node.services.strata) enable;
  inherit (node.virtualisation) memorySize cores;
  disks = builtins.length node.virtualisation.emptyDiskImages;
  units = lib.filterAttrs (name: _: lib.hasPrefix "strata" name) (lib.mapAttrs (_: one: one.text) node.systemd.units);
  specialisations = lib.attrNames node.specialisation;
}"""


def look(nix: Nix, name: str) -> dict[str, Any]:
    """What matters of a node."""
    found: dict[str, Any] = nix.value(LOOK.replace("NAME", name))
    return found


def test_the_names_are_those_of_the_acceptance() -> None:
    wanted = {
        "install",
        "supervision",
        "limits",
        "quarantine",
        "core",
        "sandboxes",
        "rootless",
        "persistence",
        "upgrade",
    }
    assert set(NODES) >= wanted


def test_every_node_has_its_script() -> None:
    """Without it the node is no check of the flake; so that somebody notices, it is told with what was not proven."""
    assert sorted(file.stem for file in VM.glob("long/*.py")) == LONG
    missing = [name for name in NODES if name not in SCRIPTED]
    if missing:
        pytest.skip(f"needs scripts that nobody has written yet: tests/vm/{{{','.join(missing)}}}.py")


def test_the_checks_of_the_flake_are_the_nodes_that_have_scripts(either: Nix) -> None:
    assert set(SCRIPTED) <= set(either.value("lib.attrNames flake.checks.x86_64-linux"))


@pytest.mark.parametrize("name", SCRIPTED)
def test_a_test_instantiates(either: Nix, name: str) -> None:
    wanted = (
        f"let test = flake.checks.x86_64-linux.{name}; in [ test.name test.drvPath test.driverInteractive.drvPath ]"
    )
    found = either.value(wanted)
    assert found[0] == f"vm-test-run-strata-{name}"
    assert all(path.endswith(".drv") for path in found[1:])


@pytest.mark.parametrize("name", SCRIPTED)
def test_a_node_is_what_the_debian_machine_is(either: Nix, tmp_path: Path, name: str) -> None:
    node = look(either, name)
    assert (node["enable"], node["memorySize"], node["cores"]) == (True, 2048, 2)
    assert node["disks"] == (1 if name == "limits" else 0)
    assert set(node["units"]) >= {"strata-supervisor.service", "strata.slice"}
    for unit, text in node["units"].items():
        assert verify(unit, text, tmp_path) == ""


def test_alice_has_a_manager_of_her_own_without_logging_in(either: Nix) -> None:
    wanted = f"((import {VM / 'rootless.nix'}).nodes.machine {{ inherit pkgs; }}).users.users.alice"
    assert either.value(wanted) == {"isNormalUser": True, "linger": True, "uid": 1000}


@pytest.mark.parametrize("name", sorted(SWITCHED))
def test_a_script_switches_only_to_what_its_node_has(either: Nix, name: str) -> None:
    script = (VM / f"nixos/{name}.py").read_text()
    assert set(re.findall(r"/specialisation/(\w+)", script)) == set(look(either, name)["specialisations"])


@pytest.mark.parametrize(
    ("to", "changed"),
    [
        ("settings", {"X-Restart-Triggers"}),
        ("manifest", {"X-Reload-Triggers"}),
        ("package", {"ExecStart", "ExecReload"}),
    ],
)
def test_a_switch_changes_of_the_unit_what_it_is_about(either: Nix, to: str, changed: set[str]) -> None:
    """So systemd restarts the supervisor for settings and package, and reloads it for a manifest."""
    unit = 'systemd.units."strata-supervisor.service".text'
    node = "flake.checks.x86_64-linux.upgrade.nodes.machine"
    before, after = either.value(f"[ {node}.{unit} {node}.specialisation.{to}.configuration.{unit} ]")
    different = set(before.splitlines()) ^ set(after.splitlines())
    assert {line.partition("=")[0] for line in different} == changed


@pytest.mark.parametrize("name", SCRIPTED)
def test_a_node_of_a_real_nixpkgs_has_the_units_of_the_stand_in(nix: Nix, real: Nix, name: str) -> None:
    here, there = look(nix, name)["units"], look(real, name)["units"]
    assert {unit: comparable(text) for unit, text in here.items()} == {
        unit: comparable(text) for unit, text in there.items()
    }
