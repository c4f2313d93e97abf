# SPDX-License-Identifier: MIT
"""Manual pages and completion files are what the code says, and what man and the shells can read."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from strata import config
from strata.cli import program, verbs
from strata.types import ServiceState

REPOSITORY = Path(__file__).resolve().parents[2]
MAN = REPOSITORY / "strata/man"
PAGES = sorted(MAN.iterdir())


def _load(name: str) -> ModuleType:
    sys.path.append(str(REPOSITORY / "docs"))
    spec = importlib.util.spec_from_file_location(f"strata_manual_{name}", REPOSITORY / f"docs/{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = _load("generate")
roff = _load("roff")


def shown(page: Path) -> str:
    """The page as a person reads it, every run of spaces as one."""
    argv = ["groff", "-man", "-Tutf8", "-P-c", "-P-b", "-P-u", str(page)]
    return " ".join(subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split())


def commands(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, with the words that are typed for it."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from commands(command, inner)
        else:
            yield inner.command_path.partition(" ")[2], command


def test_every_written_file_is_fresh() -> None:
    """`make docs` writes them anew."""
    files = generate.files()
    written = {file for file in files if REPOSITORY / "strata" in file.parents}
    assert written == {*MAN.iterdir(), *(REPOSITORY / "strata/completion").iterdir()}
    assert [file.name for file in written if file.read_text(encoding="utf-8") != files[file]] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_groff_has_nothing_to_say_about_a_page(page: Path) -> None:
    argv = ["groff", "-man", "-ww", "-Tutf8", "-z", "-rCHECKSTYLE=2", str(page)]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stderr == ""


@pytest.mark.parametrize(("root", "page"), [(verbs.root, "strata-ctl.1"), (program.root, "strata.1")])
def test_every_command_and_every_option_stands_in_the_page(root: click.Group, page: str) -> None:
    text = shown(MAN / page)
    for words, command in commands(root, click.Context(root, info_name=page[:-2])):
        assert f"{words} " in text, words
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert set(parameter.opts) <= set(re.split(r"[ ,.]", text)), (words, parameter.opts)


def test_every_setting_stands_in_the_page() -> None:
    text = shown(MAN / "strata.toml.5")
    for key in generate.setting_defaults():
        assert f"{key} (" in text, key
    for variable in config.VARIABLES:
        assert variable in text


def test_the_default_of_a_list_is_written_as_in_the_file() -> None:
    assert 'Default: ["strata"].' in shown(MAN / "strata.toml.5")


def test_every_key_of_a_manifest_stands_in_the_page() -> None:
    text = shown(MAN / "strata-manifest.5")
    for readers, _ in generate.SECTIONS.values():
        for key in readers:
            assert f"{key} (" in text, key


def test_every_state_stands_in_the_overview() -> None:
    text = shown(MAN / "strata.7").partition(" STATES ")[2].partition(" UNITS ")[0]
    assert all(f"{state} " in text for state in ServiceState)


@pytest.mark.parametrize(
    ("markdown", "made"),
    [
        ("`-x` is *FILE*", ".PP\n\\fB\\-x\\fR is \\fIFILE\\fR"),
        ("a\nb", ".PP\na b"),
        (".hidden files", ".PP\n\\&.hidden files"),
        ("'quoted'", ".PP\n\\&'quoted'"),
        ("C:\\dir", ".PP\nC:\\edir"),
        ("well-known → `it's`", ".PP\nwell-known \\[u2192] \\fBit\\(aqs\\fR"),
        (
            "`--all`\n: Everything,\n  really.\n: And more.",
            ".TP\n\\fB\\-\\-all\\fR\nEverything, really.\n.sp\nAnd more.",
        ),
        ("* one\n  thing\n* two", ".IP \\(bu 2\none thing\n.IP \\(bu 2\ntwo"),
        ("```\n.x ~\n```", ".PP\n.RS 4\n.EX\n\\&.x \\(ti\n.EE\n.RE"),
        ("## see also", '.SH "SEE ALSO"'),
    ],
)
def test_markdown_becomes_roff(markdown: str, made: str) -> None:
    assert roff.page(f"# x(1): y\n\n{markdown}").partition("x \\- y\n")[2] == made + "\n"


def test_a_page_without_a_title_is_refused() -> None:
    with pytest.raises(ValueError, match="a page begins with"):
        roff.page("## Description")
