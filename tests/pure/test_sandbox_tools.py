# SPDX-License-Identifier: MIT
"""Trees of programs for sessions: whose they are, what settings may name, and what programs are told of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from strata import config
from strata.config import SandboxSettings, TemplateSettings
from strata.errors import InvalidArgument
from strata.paths import Paths
from strata.sandbox import tools
from strata.sandbox.layers import build, skeleton
from strata.sandbox.params_session import CreateParams
from strata.sandbox.wanted import Fixed, wanted


@pytest.fixture
def tree(tmp_path: Path) -> str:
    """A tree of programs, wherever."""
    (tmp_path / "tools/bin").mkdir(parents=True)
    return str(tmp_path / "tools")


def given(settings: SandboxSettings, template: str | None = None, base: str | None = None) -> tuple[str, ...]:
    params = CreateParams(owner="alice", session="s", template=template, base=base)
    return wanted(params, settings, Fixed(0, True, True)).tools


def test_sessions_on_the_machines_usr_have_the_tools_of_the_settings(tree: str) -> None:
    assert given(SandboxSettings(tools=(tree,))) == (tree,)


def test_a_machine_whose_settings_name_none_gives_what_its_users_have(
    tree: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "SYSTEM", tree)
    assert given(SandboxSettings()) == (tree,)
    monkeypatch.setattr(tools, "SYSTEM", "/nowhere/sw")
    assert given(SandboxSettings()) == ()


@pytest.mark.parametrize("own", [(), ("/usr",)])
def test_a_template_has_its_own_or_none(tree: str, own: tuple[str, ...]) -> None:
    settings = SandboxSettings(tools=(tree,), templates={"t": TemplateSettings(tools=own)})
    assert given(settings, "t") == own


def test_a_base_is_whole_in_itself_unless_its_template_adds_to_it(tree: str) -> None:
    templates = {"own": TemplateSettings(base_rootfs="/"), "both": TemplateSettings(base_rootfs="/", tools=("/usr",))}
    settings = SandboxSettings(tools=(tree,), templates=templates)
    assert (given(settings, "own"), given(settings, "both"), given(settings, base="/")) == ((), ("/usr",), ())


def test_tools_that_are_not_there_are_refused_by_name() -> None:
    with pytest.raises(InvalidArgument, match="cannot give a session the tools '/nix/store/gone'"):
        given(SandboxSettings(tools=("/nix/store/gone",)))


@pytest.mark.parametrize("text", ["/srv/tools", "bin", "/nix/store/../../etc", "/nix/store/a:b", "/nix/store/a\\n"])
@pytest.mark.parametrize("table", ["sandbox", "sandbox.templates.t"])
def test_settings_name_trees_that_sessions_see(tmp_path: Path, text: str, table: str) -> None:
    (tmp_path / config.FILE_NAME).write_text(f'[{table}]\ntools = ["{text}"]\n')
    with pytest.raises(InvalidArgument, match=rf"{table}\.tools: .* must be a directory below /nix/store"):
        config.load(Paths(tmp_path, tmp_path, tmp_path), {})


def test_programs_are_told_where_terminals_and_locales_are(tree: str) -> None:
    for name in ("share/terminfo", "lib/locale"):
        os.makedirs(f"{tree}/{name}")
    Path(tree, "lib/locale/locale-archive").touch()
    told = tools.environment((tree, "/nix/store/other"), "/usr/bin:/bin")
    assert told["PATH"] == f"/usr/bin:/bin:{tree}/bin:/nix/store/other/bin"
    assert (told["TERMINFO_DIRS"], told["LOCALE_ARCHIVE"]) == (
        f"{tree}/share/terminfo",
        f"{tree}/lib/locale/locale-archive",
    )


def test_without_tools_programs_are_told_nothing() -> None:
    assert tools.environment((), "/usr/bin:/bin") == {}


def test_of_nix_the_store_alone_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "isdir", lambda path: True)
    monkeypatch.setattr(os.path, "islink", lambda path: False)
    assert [path for path in build.host_places("", ()) if path.startswith("/nix")] == ["/nix/store"]
    assert build.host_places("/srv/base", ("/nix/store/tools",)) == ["/nix/store"]
    assert build.host_places("/srv/base", ()) == []


def test_a_base_gets_a_place_for_the_store_only_where_it_is_shown(tmp_path: Path) -> None:
    assert os.path.isdir(f"{skeleton.bare(str(tmp_path), store=True)}/nix/store")
    assert not os.path.exists(f"{skeleton.bare(str(tmp_path))}/nix")


def test_another_generation_of_the_system_makes_another_etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On NixOS the links in /etc stay the same, and lead through /etc/static to other files."""
    before = skeleton.full(str(tmp_path), "/bin/sh", "isolated")
    real = os.readlink
    switched = {"/etc/static": "/nix/store/other-etc/etc"}
    monkeypatch.setattr(os, "readlink", lambda path: switched.get(path) or real(path))
    assert skeleton.full(str(tmp_path), "/bin/sh", "isolated") != before
