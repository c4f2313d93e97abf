# SPDX-License-Identifier: MIT
"""What the module makes of a configuration: files, groups, ports; and that Strata's own readers take the files."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from evaluation import Nix, comparable

from strata import config
from strata.paths import Paths
from strata.units import manifest

RICH = f"import {Path(__file__).resolve().parent / 'rich.nix'}"
ENABLED = "services.strata.enable = true;"
# All that others see of the module, in one look.
EFFECTS = """{
  inherit (config.users.groups.strata) members;
  inherit (config.networking.firewall) allowedTCPPorts allowedUDPPorts;
  rules = lib.filter (lib.hasInfix "strata") config.systemd.tmpfiles.rules;
  files = lib.filter (lib.hasPrefix "strata") (lib.attrNames config.environment.etc);
  settings = lib.filterAttrsRecursive (_: value: value != null) config.services.strata.settings;
  wanted = map (one: one.name) (lib.filter (one: one.value.wantedBy != [ ]) (lib.attrsToList
    (lib.filterAttrs (name: _: lib.hasPrefix "strata" name) config.systemd.units)));
  warnings = lib.filter (lib.hasInfix "strata") config.warnings;
}"""


@pytest.fixture(scope="module")
def etc(nix: Nix) -> Path:
    """/etc of the rich machine, truly built: its files were read by this checkout's `strata-ctl config check`."""
    return nix.build(f"(machine ({RICH})).config.system.build.etc") / "etc"


@pytest.fixture
def effects(either: Nix) -> dict[str, Any]:
    """What the rich machine has."""
    found: dict[str, Any] = either.config(RICH, EFFECTS)
    return found


def test_the_rich_machine_says_something_for_every_option(nix: Nix) -> None:
    declared = nix.value(
        f"""map (one: one.loc) (lib.filter (one: !one.internal && !one.readOnly) (lib.optionAttrSetToDocList
          (lib.evalModules {{
            modules = [ {nix.repository}/nixos/modules {{ _module.check = false; }} ];
            specialArgs = {{ inherit pkgs; }};
          }}).options.services.strata))"""
    )
    said = nix.value(
        f"""let
          of = at: value: [ (lib.showOption at) ] ++ lib.optionals (lib.isAttrs value && !lib.isDerivation value)
            (lib.concatLists (lib.mapAttrsToList (name: of (at ++ [ name ])) value));
        in of [ ] ({RICH} {{ inherit pkgs; }}).services.strata"""
    )
    predecessors = {"registryPackage", "identityPackage", "fsPackage", "package"}
    missing = []
    for loc in declared:
        option = loc[2:]
        words = [r"(\"[^\"]*\"|[^.\"]+)" if word in ("<name>", "*") else re.escape(word) for word in option]
        if option[0] not in predecessors and not any(re.fullmatch(r"\.".join(words), one) for one in said):
            missing.append(".".join(option))
    assert missing == []


def test_operators_are_members_of_the_group(effects: dict[str, Any]) -> None:
    assert effects["members"] == ["alice"]


def test_a_port_is_opened_only_if_that_is_said(either: Nix, effects: dict[str, Any]) -> None:
    assert effects["allowedTCPPorts"] == [8443]
    assert effects["allowedUDPPorts"] == []
    closed = either.config(f'{{ {ENABLED} services.strata.api.address = "::"; }}', EFFECTS)
    assert closed["allowedTCPPorts"] == []


def test_only_the_supervisor_starts_at_boot(effects: dict[str, Any]) -> None:
    assert effects["wanted"] == ["strata-supervisor.service"]


def test_files_are_the_settings_and_one_manifest_for_each_service(effects: dict[str, Any]) -> None:
    names = ["services.d/echo.toml", "services.d/watched.toml", "services.d/wiki.toml", "strata.toml"]
    assert [name for name in effects["files"] if name.endswith(".toml")] == [f"strata/{name}" for name in names]


def test_the_settings_that_are_built_are_read_by_strata(etc: Path) -> None:
    found = config.load(Paths(Path("/run/strata"), Path("/var/lib/strata"), etc / "strata"), env={})
    assert (found.node_id, found.fs.strict_paths) == ("rich", True)
    assert found.identity.key_file == "/run/secrets/strata-identity"
    assert found.api.address == "[::]:8443"
    assert found.api.tls_certificate == "/var/lib/acme/strata/fullchain.pem"
    assert found.sandbox.limits.memory_max == "512M"
    assert found.sandbox.templates["node"].limits["memory_max"] == "2G"


def test_the_manifests_that_are_built_are_read_by_strata(etc: Path) -> None:
    found, refused = manifest.load_directory(etc / "strata/services.d")
    assert refused == []
    assert {one.name for one in found} == {"wiki", "echo", "watched"}
    wiki = next(one for one in found if one.name == "wiki")
    assert wiki.command[1] == "--greeting=${PORT}"
    assert wiki.description == 'A page that "everybody" edits'
    assert (wiki.profile, wiki.after, wiki.limits.memory_max) == ("sealed", ("fs",), "256M")
    assert wiki.credentials == {"wiki-key": "/run/secrets/wiki"}
    assert wiki.health is not None
    assert wiki.restart.crashes == 3


def test_a_machine_that_says_nothing_has_files_that_strata_reads(nix: Nix) -> None:
    built = nix.build(f"(machine {{ {ENABLED} }}).config.system.build.etc") / "etc/strata"
    found = config.load(Paths(Path("/run/strata"), Path("/var/lib/strata"), built), env={})
    assert found == config.Settings() or found.node_id == "local-0"


def test_what_is_not_said_is_not_written_so_that_the_programs_defaults_hold(nix: Nix) -> None:
    built = nix.build(f"(machine {{ {ENABLED} }}).config.system.build.etc") / "etc/strata/strata.toml"
    assert set(tomllib.loads(built.read_text())) <= {"node_id", "core", "api", "operators"}


def test_without_enable_nothing_is_set(either: Nix) -> None:
    wanted = """[
      (lib.filter (lib.hasInfix "strata") (lib.attrNames config.systemd.units))
      (lib.filter (lib.hasInfix "strata") (lib.attrNames config.environment.etc))
      (lib.filter (lib.hasInfix "strata") config.systemd.tmpfiles.rules)
      (lib.filter (one: one.pname or "" == "strata") config.environment.systemPackages)
      (config.users.groups ? strata)
    ]"""
    assert either.config("{ }", wanted) == [[], [], [], [], False]


def test_the_predecessors_options_still_evaluate_and_say_that_they_do_nothing(either: Nix) -> None:
    given = " ".join(f"services.strata.{service}Package = pkgs.git;" for service in ("registry", "identity", "fs"))
    found = either.config(f"({{ pkgs, ... }}: {{ {ENABLED} {given} }})", EFFECTS)["warnings"]
    assert len(found) == 3
    assert all("no effect" in warning for warning in found)


def test_a_door_that_is_open_to_the_network_without_tls_is_warned_of(either: Nix) -> None:
    (warning,) = either.config(f'{{ {ENABLED} services.strata.api.address = "0.0.0.0"; }}', EFFECTS)["warnings"]
    assert "without TLS" in warning


def test_a_disabled_core_service_is_so_in_the_settings(either: Nix) -> None:
    module = f"{{ {ENABLED} services.strata.api.enable = false; services.strata.sandbox.enable = false; }}"
    core = either.config(module, EFFECTS)["settings"]["core"]
    assert {name for name, runs in core.items() if not runs} == {"api", "sandbox"}


def test_a_change_of_settings_restarts_and_one_of_a_manifest_reloads(either: Nix) -> None:
    wanted = """let unit = config.systemd.services.strata-supervisor; in
      map (list: map toString list) [ unit.restartTriggers unit.reloadTriggers ]"""
    web = 'services.strata.services.web.command = [ "/bin/sleep" "%s" ];'
    one, two = web % 1, web % 2
    before = either.config(f"{{ {ENABLED} {one} }}", wanted)
    manifest_changed = either.config(f"{{ {ENABLED} {two} }}", wanted)
    settings_changed = either.config(f'{{ {ENABLED} {one} services.strata.nodeId = "other"; }}', wanted)
    assert manifest_changed[0] == before[0]
    assert manifest_changed[1] != before[1]
    assert settings_changed[0] != before[0]
    assert settings_changed[1] == before[1]


def test_what_a_real_nixpkgs_makes_of_the_rich_machine_is_what_the_stand_in_makes(nix: Nix, real: Nix) -> None:
    here, there = nix.config(RICH, EFFECTS), real.config(RICH, EFFECTS)
    assert comparable(json.dumps(here)) == comparable(json.dumps(there))
