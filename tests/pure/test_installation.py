# SPDX-License-Identifier: MIT
"""What an installation writes, what it leaves alone, and what it removes; systemd itself is asked in tests/live."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest

import strata
from strata.cli import dispatch
from strata.errors import Conflict, Internal
from strata.installation import documents, files, layout, mark, purge, record
from strata.installation.documents import Document
from strata.installation.files import State
from strata.installation.layout import Target
from strata.paths import Paths
from strata.units.context import Context, elsewhere

CONTEXT = elsewhere(252, layout.SYSTEM)
ENV = {"HOME": "/home/alice"}
PACKAGE = Path(strata.__file__).parent


def planned(target: Target, context: Context = CONTEXT) -> dict[str, str]:
    """Path to text."""
    return {str(one.path): one.text for one in documents.documents(target, context, ENV)}


@pytest.fixture
def plan(tmp_path: Path) -> list[Document]:
    return [Document("unit", tmp_path / "a/b.service", mark.put("[Unit]\n", "1.0"))]


# --- what belongs where


@pytest.mark.parametrize("target", layout.TARGETS)
def test_every_kind_of_file_that_a_target_has_is_written(target: Target) -> None:
    found = {one.kind for one in documents.documents(target, CONTEXT, ENV)}
    assert found == layout.PLACES[target].keys()


def test_a_package_has_its_files_where_distributions_look_for_them() -> None:
    pages = {f"/usr/share/man/man{page.suffix[1:]}/{page.name}" for page in PACKAGE.glob("man/*.[1-8]")}
    assert planned("package").keys() == pages | {
        "/usr/lib/systemd/system/strata-supervisor.service",
        "/usr/lib/systemd/system/strata.slice",
        "/usr/lib/systemd/system-preset/50-strata.preset",
        "/usr/lib/sysusers.d/strata.conf",
        "/usr/lib/tmpfiles.d/strata.conf",
        "/usr/share/bash-completion/completions/strata-ctl",
        "/usr/share/zsh/site-functions/_strata-ctl",
        "/usr/share/fish/vendor_completions.d/strata-ctl.fish",
    }


def test_an_administrator_writes_nothing_where_packages_do() -> None:
    assert not [path for path in planned("admin") if not path.startswith(("/etc/", "/usr/local/share/"))]


def test_a_user_writes_below_his_own_directories_and_asks_for_no_group() -> None:
    assert not [
        path for path in planned("user") if not path.startswith(("/home/alice/.config/", "/home/alice/.local/"))
    ]
    env = {"HOME": "/home/alice", "XDG_CONFIG_HOME": "/c", "XDG_DATA_HOME": "/d"}
    assert str(layout.directory("user", "unit", env)) == "/c/systemd/user"
    assert str(layout.directory("user", "man", env)) == "/d/man"


def test_tmpfiles_make_what_nobody_else_does(tmp_path: Path) -> None:
    odd = msgspec.structs.replace(CONTEXT, state_dir="/srv/100% mine", runtime_dir="/srv/run")
    text = planned("package", odd)["/usr/lib/tmpfiles.d/strata.conf"]
    assert text.splitlines()[1:] == [
        "d /etc/strata 0755 root root -",
        "d /etc/strata/services.d 0755 root root -",
        'd "/srv/100%% mine" 0755 root root -',
        "d /srv/run 0755 root root -",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to own what it makes")
def test_systemd_understands_the_group_and_the_directories(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for one in documents.documents("package", CONTEXT, ENV):
        if one.kind in ("sysusers", "tmpfiles"):
            files.write([one], tmp_path)
    ran = subprocess.run(["systemd-sysusers", f"--root={tmp_path}"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "etc/group").read_text().startswith("strata:x:")
    tmpfiles = ["systemd-tmpfiles", "--create", f"--root={tmp_path}", "strata.conf"]
    assert subprocess.run(tmpfiles, capture_output=True, text=True, check=True).stderr == ""
    assert (tmp_path / "etc/strata/services.d").is_dir()
    assert (tmp_path / "var/lib/strata").stat().st_mode & 0o777 == 0o755


def test_a_package_that_is_built_in_a_directory_runs_from_where_it_will_be() -> None:
    built = msgspec.structs.replace(CONTEXT, python="/build/root/usr/lib/strata/bin/python")
    assert documents.below(Path("/build/root"), built).python == "/usr/lib/strata/bin/python"
    assert documents.below(Path("/elsewhere"), CONTEXT).python == "/usr/bin/python3"


def test_install_with_a_root_writes_that_package_and_units_that_systemd_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch.run(["install", "--root", str(tmp_path)]) == 0
    written = {f"/{path.relative_to(tmp_path)}" for path in tmp_path.rglob("*") if path.is_file()}
    assert written == planned("package").keys()
    assert len(capsys.readouterr().out.splitlines()) == len(written)
    units = list((tmp_path / "usr/lib/systemd/system").iterdir())
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    assert said.stderr == ""
    assert dispatch.run(["install", "--root", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""


# --- the mark


@pytest.mark.parametrize(
    "text", ["[Unit]\nA=b\n", "#compdef x\ny\n", ".TH A 1\n", "'\\\" t\n.TH A 1\n", "", "no newline"]
)
def test_a_marked_file_is_known_as_ours_until_it_is_changed(text: str) -> None:
    marked = mark.put(text, "1.2.3")
    assert mark.read(marked) == ("1.2.3", True)
    assert mark.read(marked + "x\n") == ("1.2.3", False)
    assert mark.read(text) is None


def test_the_first_line_of_a_completion_for_zsh_stays_the_first() -> None:
    assert mark.put("#compdef x\ny\n", "1").startswith("#compdef x\n# Written by")
    assert mark.put(".TH A 1\n", "1").startswith('.\\" Written by')


# --- on the disk


@pytest.mark.parametrize("umask", [0, 0o077])
def test_files_and_directories_are_for_all_to_read_whatever_the_umask(plan: list[Document], umask: int) -> None:
    before = os.umask(umask)
    try:
        assert files.write(plan) == [plan[0].path]
    finally:
        os.umask(before)
    assert plan[0].path.stat().st_mode & 0o777 == 0o644
    assert plan[0].path.parent.stat().st_mode & 0o777 == 0o755
    assert files.write(plan) == []
    assert os.listdir(plan[0].path.parent) == ["b.service"]


@pytest.mark.parametrize(
    ("content", "state", "why"),
    [
        ("[Unit]\n", State.FOREIGN, "did not write it; move it away"),
        (mark.put("[Unit]\n", "1.0") + "# mine\n", State.CHANGED, "was changed since Strata wrote it"),
    ],
)
def test_what_is_not_ours_is_told_and_left_as_it_is(plan: list[Document], content: str, state: State, why: str) -> None:
    path = plan[0].path
    path.parent.mkdir()
    path.write_text(content)
    found = files.survey(plan)
    assert [one.state for one in found] == [state]
    with pytest.raises(Conflict, match=f"cannot write {path}: .*{why}"):
        files.refuse_others(found)
    assert [one.state for one in files.remove([path])] == [state]
    assert path.read_text() == content


def test_a_unit_that_is_masked_is_somebody_elses(plan: list[Document]) -> None:
    plan[0].path.parent.mkdir()
    plan[0].path.symlink_to("/dev/null")
    assert files.survey(plan)[0].state is State.FOREIGN


def test_an_older_file_of_ours_is_replaced(plan: list[Document]) -> None:
    path = plan[0].path
    path.parent.mkdir()
    path.write_text(mark.put("[Unit]\nOld=yes\n", "0.9"))
    assert files.survey(plan) == [(path, State.OTHER, "0.9")]
    files.refuse_others(files.survey(plan))
    assert files.write(plan) == [path]
    assert files.survey(plan) == [(path, State.SAME, "1.0")]


def test_only_directories_that_are_empty_go(tmp_path: Path) -> None:
    deep = tmp_path / "a/b/c"
    made = files.missing_directories([deep, tmp_path / "a/d"])
    assert [str(path.relative_to(tmp_path)) for path in made] == ["a", "a/b", "a/b/c", "a/d"]
    files.make_directory(deep)
    (tmp_path / "a/mine").touch()
    assert files.remove_directories(made) == [tmp_path / "a"]
    assert os.listdir(tmp_path / "a") == ["mine"]


def test_the_record_keeps_what_ever_was_made(tmp_path: Path) -> None:
    paths = Paths(tmp_path, tmp_path / "state", tmp_path)
    assert record.read(paths) == record.Record()
    record.write(paths, record.Record(("/a",), ("/d",)).plus(("/a", "/b"), ()))
    assert record.read(paths) == record.Record(("/a", "/b"), ("/d",))
    (paths.state_dir / record.NAME).write_text("{")
    with pytest.raises(Internal, match=r"cannot read .*installation.json: .*; delete it"):
        record.read(paths)


# --- purge


def test_a_directory_that_was_there_before_and_is_not_the_usual_one_is_not_purged(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "run", tmp_path / "state", tmp_path / "etc")
    env = {"HOME": str(tmp_path), **paths.environment()}
    with pytest.raises(Conflict, match=f"cannot purge {paths.config_dir}: it was there before"):
        purge.trees(paths, env, [], system=False)
    assert purge.trees(paths, env, [paths.config_dir, paths.state_dir], system=False) == [
        paths.config_dir,
        paths.state_dir,
    ]
    usual = Paths.from_env({"HOME": str(tmp_path)})
    assert purge.trees(usual, {"HOME": str(tmp_path)}, [], system=True)[-1] == purge.PRIVATE


def test_what_is_mounted_inside_a_tree_is_found() -> None:
    line = "36 35 98:0 / {} rw - ext4 /dev/sda rw\n"
    mountinfo = "".join(map(line.format, ("/", "/srv", "/srv/a\\040b", "/srvx")))
    assert purge.mounted(Path("/srv"), mountinfo) == ["/srv/a b"]


def test_purging_empties_a_tree_and_follows_no_link(tmp_path: Path) -> None:
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    (tree / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "kept").touch()
    (tree / "link").symlink_to(outside)
    assert purge.remove(tree)
    assert not tree.exists()
    assert (outside / "kept").exists()
    assert not purge.remove(tree)
