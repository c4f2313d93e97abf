# SPDX-License-Identifier: MIT
"""The units that the module makes are Strata's own, and systemd accepts them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from evaluation import Nix, comparable
from unit_words import table, verify

from strata.installation import layout
from strata.units import context, render

ENABLED = "services.strata.enable = true;"
SUPERVISOR = 'config.systemd.units."strata-supervisor.service".text'


def where(text: str) -> context.Context:
    """NixOS' system manager, in the default places, with the interpreter of a unit."""
    python = next(line for line in text.splitlines() if line.startswith("ExecStart=")).partition("=")[2].split()[0]
    return msgspec.structs.replace(context.elsewhere(258, layout.SYSTEM), python=python)


def test_the_supervisors_unit_is_the_one_that_strata_renders(either: Nix) -> None:
    """Beside what NixOS does otherwise: the PATH of what it starts, and what a switch does with it."""
    text = either.config(f"{{ {ENABLED} }}", SUPERVISOR)
    generated = table(text)
    rendered = table(render.render_supervisor(where(text), persistent=True).text)
    environment = generated[("Service", "Environment")]
    ours = [word for word in environment if word.startswith("STRATA_") and not word.startswith("STRATA_PATH=")]
    generated[("Service", "Environment")] = ours
    different = {key for key in generated.keys() | rendered.keys() if generated.get(key) != rendered.get(key)}
    assert different <= {
        ("Unit", "X-Restart-Triggers"),
        ("Service", "X-StopIfChanged"),
        ("Service", "RuntimeDirectory"),
        ("Service", "ExecReload"),
    }, {key: (generated.get(key), rendered.get(key)) for key in different}


def test_the_slice_is_the_one_that_strata_renders(either: Nix) -> None:
    text = either.config(f"{{ {ENABLED} }}", 'config.systemd.units."strata.slice".text')
    supervisor = either.config(f"{{ {ENABLED} }}", SUPERVISOR)
    assert table(text) == table(render.render_slice(where(supervisor)).text)


@pytest.mark.parametrize("unit", ["strata-supervisor.service", "strata.slice"])
def test_systemd_accepts_the_units(either: Nix, tmp_path: Path, unit: str) -> None:
    text = either.config(f"{{ {ENABLED} }}", f'config.systemd.units."{unit}".text')
    assert verify(unit, text, tmp_path) == ""


def test_a_misspelt_directive_is_found_by_systemd_although_nix_takes_it(either: Nix, tmp_path: Path) -> None:
    """The module system knows no directives, of NixOS neither: this is why the units are verified at all."""
    module = f"{{ {ENABLED} systemd.services.strata-supervisor.serviceConfig.ProtectSytem = true; }}"
    assert "ProtectSytem" in verify("strata-supervisor.service", either.config(module, SUPERVISOR), tmp_path)


@pytest.mark.parametrize(
    ("runtime_dir", "directories", "rules"),
    [
        ("/run/strata", ["strata", "strata-supervisor"], []),
        ("/run/other/place", ["other/place", "strata-supervisor"], []),
        ("/srv/strata", ["strata-supervisor"], ["d /srv/strata 0755 root root -"]),
    ],
)
def test_112_the_runtime_directory_follows_the_option(
    either: Nix, runtime_dir: str, directories: list[str], rules: list[str]
) -> None:
    module = f'{{ {ENABLED} services.strata.runtimeDir = "{runtime_dir}"; }}'
    text, made = either.config(module, f"[ ({SUPERVISOR}) config.systemd.tmpfiles.rules ]")
    unit = table(text)
    assert unit[("Service", "RuntimeDirectory")] == directories
    assert unit[("Service", "ReadWritePaths")][0] == runtime_dir
    assert f"STRATA_RUNTIME_DIR={runtime_dir}" in unit[("Service", "Environment")]
    assert [rule for rule in made if runtime_dir in rule.split()] == rules


def test_it_starts_at_boot(either: Nix) -> None:
    wanted = "config.systemd.services.strata-supervisor.wantedBy"
    assert either.config(f"{{ {ENABLED} }}", wanted) == ["multi-user.target"]


@pytest.mark.parametrize("unit", ["strata-supervisor.service", "strata.slice"])
def test_the_units_of_a_real_nixpkgs_are_those_of_the_stand_in(nix: Nix, real: Nix, unit: str) -> None:
    """Character by character, but for hashes and versions of packages and what NixOS gives to every service."""
    module = (Path(__file__).parent / "rich.nix").resolve()
    wanted = f'config.systemd.units."{unit}".text'
    assert comparable(nix.config(f"import {module}", wanted)) == comparable(real.config(f"import {module}", wanted))
