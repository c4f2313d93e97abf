# SPDX-License-Identifier: MIT
"""What the documents say is so: generated parts are fresh, examples parse, names exist, figures are measured."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import msgspec
import pytest

from strata import config
from strata.cli import verbs
from strata.installation import layout
from strata.paths import Paths
from strata.units import manifest, render
from strata.units.context import elsewhere

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("nixos/*.md")])
WHERE = elsewhere(252, layout.SYSTEM)


def _load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"strata_docs_{file.stem}", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sys.path.append(str(REPOSITORY / "docs"))  # as it is for a program that is run from there
generate = _load(REPOSITORY / "docs/generate.py")


def text(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def blocks(kind: str) -> Iterator[tuple[str, str]]:
    """Every fenced block of that kind, with the page it is on."""
    for page in PAGES:
        for found in re.findall(rf"^```{kind}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            yield page.name, found


def names_of_tests() -> set[str]:
    """The names of all tests there are."""
    return {
        name
        for file in REPOSITORY.glob("tests/**/test_*.py")
        for name in re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8"))
    }


@pytest.mark.parametrize("page", sorted((REPOSITORY / "docs").glob("*.md")), ids=lambda page: page.name)
def test_the_generated_parts_are_fresh(page: Path) -> None:
    """`make docs` writes them anew."""
    said = page.read_text(encoding="utf-8")
    assert generate.generated(said) == said


def test_every_method_is_described_and_no_other() -> None:
    methods = {method.name for rows in generate.ROOMS.values() for method in rows}
    assert set(generate.told()) == methods


def test_every_parameter_says_what_it_means() -> None:
    for rows in generate.ROOMS.values():
        for method in rows:
            for name, _, _, meaning in generate._parameters(method, {}):
                assert meaning, f"{method.name} {name}"


def test_every_key_of_manifests_and_settings_is_described_and_no_other() -> None:
    about = tomllib.loads(text("docs/manifest.toml"))
    for section, (readers, _) in generate.SECTIONS.items():
        assert set(about[section]) == set(readers)
    assert set(about["settings"]) == set(generate.setting_defaults())


def test_every_limit_has_a_test_that_exists() -> None:
    there = names_of_tests()
    for row in tomllib.loads(text("docs/limits.toml"))["limit"]:
        assert row["tests"], f"{row['what']} has no test"
        assert set(row["tests"]) <= there, row["what"]


def test_every_limit_of_a_server_is_in_the_table() -> None:
    values = {row.get("value", "") for row in tomllib.loads(text("docs/limits.toml"))["limit"]}
    from strata.api.limits import DoorLimits
    from strata.sockets.limits import Limits

    assert {f"strata.sockets.limits:LIMITS.{name}" for name in Limits._fields} <= values
    assert {f"strata.api.limits:LIMITS.{name}" for name in DoorLimits._fields} <= values


def test_the_tests_that_the_security_page_names_exist() -> None:
    there = names_of_tests()
    named = re.findall(r"`(test_\w+)`", text("docs/security.md"))
    assert named
    for name in named:
        assert any(one.startswith(name) if name.endswith("_") else one == name for one in there), name


def test_the_exposure_figures_are_what_systemd_says(tmp_path: Path) -> None:
    """Other versions of systemd weigh things otherwise: there, only the bounds are held."""
    told = {
        name: float(figure)
        for name, figure in re.findall(r"\| `(strata-\w+\.service)` .* (\d\.\d) \|", text("docs/security.md"))
    }
    units = [
        render.render_supervisor(WHERE),
        *(one for core in manifest.load_core() for one in render.render(core, WHERE)),
    ]
    units.append(render.render_slice(WHERE))
    for unit in units:
        (tmp_path / unit.name).write_text(unit.text)
    measured = {unit.name: exposure(tmp_path / unit.name) for unit in units if unit.name.endswith(".service")}
    if systemd_version() == 252:
        assert measured == told
    assert all(figure <= BOUNDS.get(name, 2.0) for name, figure in measured.items()), measured


BOUNDS = {
    "strata-supervisor.service": 3.0,
    # What runs in a session is a child of this service: each restriction of it would be one of theirs, and making
    # namespaces, mounts and devices takes the capabilities that the figure counts. What keeps sessions from the machine
    # is what they are given, and tests of its own are about that.
    "strata-sandbox.service": 10.0,
}
"""How exposed a service may be; the others 2.0."""


def exposure(unit: Path) -> float:
    argv = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(unit)]
    said = subprocess.run(argv, capture_output=True, text=True, check=False)
    found = re.search(r"exposure level for \S+: ([\d.]+)", said.stdout)
    assert found, said.stderr
    return float(found[1])


def systemd_version() -> int:
    said = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.split()[1])


def test_every_json_example_is_json() -> None:
    examples = list(blocks("json"))
    assert examples
    for page, example in examples:
        assert isinstance(json.loads(example), dict), page


def test_every_json_argument_in_a_command_is_json() -> None:
    found = [argument for _, block in blocks("(?:sh|console)") for argument in re.findall(r"'(\{.*?\})'", block)]
    assert found
    for argument in found:
        assert isinstance(json.loads(argument), dict)


def test_every_example_of_a_manifest_is_one_that_renders() -> None:
    examples = list(blocks("toml manifest"))
    assert examples
    for number, (page, example) in enumerate(examples):
        assert render.render(manifest.parse(example, f"example{number}", page), WHERE)


def test_the_example_of_settings_is_accepted(tmp_path: Path) -> None:
    ((_, example),) = blocks("toml settings")
    (tmp_path / config.FILE_NAME).write_text(example)
    settings = config.load(Paths(tmp_path, tmp_path, tmp_path), {})
    assert msgspec.to_builtins(settings) != msgspec.to_builtins(config.Settings())


def commands() -> set[tuple[str, ...]]:
    """The words behind each `strata-ctl` in code: a verb and what follows it."""
    code = [page.read_text(encoding="utf-8") for page in PAGES]
    found = re.findall(r"(?:`|\$ |\$\(|^)strata-ctl ((?:[a-z][a-z-]*[ `]?)+)", "\n".join(code), re.MULTILINE)
    return {tuple(line.strip("` ").split()) for line in found}


def test_every_verb_in_the_documents_exists() -> None:
    assert commands()
    context = click.Context(verbs.root)
    for words in commands():
        command = verbs.root.get_command(context, words[0])
        assert command, words
        if isinstance(command, click.Group) and len(words) > 1:
            assert command.get_command(context, words[1]), words


def test_every_make_verb_in_the_documents_exists() -> None:
    there = set(re.findall(r"^([a-z]+):", text("Makefile"), re.MULTILINE))
    named = {
        name
        for page in PAGES
        for name in re.findall(r"(?:`|\$ |^)make ([a-z]+)", page.read_text(encoding="utf-8"), re.M)
    }
    assert {"up", "down", "test", "docs"} <= named <= there


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_section_of_the_specification_that_the_source_cites_is_there() -> None:
    sections = set(re.findall(r"^## ([12]\.\d+) ", text("docs/protocol.md"), re.MULTILINE))
    for file in [*REPOSITORY.glob("strata/**/*.py"), *REPOSITORY.glob("tests/**/*.py")]:
        for cited in re.findall(r"spec (\d\.\d+)", file.read_text(encoding="utf-8")):
            assert cited in sections, f"{file.name} cites spec {cited}"


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads(text("pyproject.toml"))
    table = text("docs/design.md").partition("## Dependencies")[2].lower()
    named = project["project"]["dependencies"] + [
        name for group in project["dependency-groups"].values() for name in group
    ]
    for name in named:
        assert re.split(r"[<>=]", name)[0] in table, name


def test_the_changelog_names_the_version() -> None:
    from strata import __version__

    assert f"## {__version__}" in text("CHANGELOG.md")


def test_the_generator_says_what_is_stale(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    page = tmp_path / "docs/limits.md"
    page.write_text(page.read_text().replace("1048576", "1048577"))
    argv = [sys.executable, str(tmp_path / "docs/generate.py")]
    assert (
        subprocess.run([*argv, "--check"], capture_output=True, text=True, check=False).stdout
        == "stale: docs/limits.md\n"
    )
    assert subprocess.run(argv, capture_output=True, check=False).returncode == 0
    assert page.read_text() == text("docs/limits.md")
