# SPDX-License-Identifier: MIT
"""Strata on a machine as NixOS is: its whole core runs in such a tree (nixos_tree.py), on a real systemd."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import machine
import nixos_root
import nixos_tree
import pytest
from inside import Inside
from nixos_tree import NixOS
from node import NOBODY, Node

OWNER = "nix"
_SYSTEM = "/run/current-system/sw"
_MACHINE_HAS_NOT = ("/lib", "/lib64", "/sbin", "/usr/lib", "/etc/resolv.conf", "/etc/nsswitch.conf")
_DROP_INS = {
    "strata-.service.d/root.conf": "[Service]\nRootDirectory={top}\nMountAPIVFS=yes\nBindPaths=/run/systemd {run}\n",
    "strata-sandbox.service.d/run.conf": "[Service]\nBindPaths=/run\n",
}
_SETTINGS = """
[sandbox]
tools = ["{tools}"]
[sandbox.templates.system]
tools = ["{system}"]
[sandbox.templates.bare]
tools = []
[sandbox.templates.own]
base_rootfs = "/base"
[sandbox.templates.both]
base_rootfs = "/base"
tools = ["{tools}"]
"""


@dataclass(frozen=True)
class Machine:
    """A Strata, Healthy, whose every service sees the tree as its root."""

    node: Node
    tree: NixOS

    def run(self, *argv: str, uid: int = 0, **variables: str) -> CompletedProcess[str]:
        """Run a program in the tree, with the PATH of its users."""
        env = {**self.node.environment, "PATH": f"{_SYSTEM}/bin", **variables}
        # Strata's own sources stand for the package that this one helper is imported from.
        env["PYTHONPATH"] = str(Path(nixos_root.__file__).parents[2])
        return self.node.manager.run(
            [sys.executable, nixos_root.__file__, str(self.tree.top), str(uid), *argv], env=env
        )

    def ctl(self, *arguments: str) -> CompletedProcess[str]:
        """Run `strata-ctl` as its package wraps it."""
        return self.python("-m", "strata", *arguments)

    def python(self, *arguments: str, uid: int = 0) -> CompletedProcess[str]:
        return self.run(self.tree.python, "-P", *arguments, uid=uid, STRATA_PATH=self.tree.strata_path)


@pytest.fixture(scope="module")
def nixos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    if os.geteuid() != 0:
        pytest.skip("needs root, for a systemd of its own")
    if shutil.which("patchelf") is None:
        pytest.skip("needs patchelf (`apt-get install patchelf`), to make programs as Nix builds them")
    top = tmp_path_factory.mktemp("nixos")
    top.chmod(0o755)
    try:
        with machine.private() as manager:
            tree = nixos_tree.make(top)
            _furnish(manager, tree)
            found = Machine(Node(manager), tree)
            up = found.ctl("up")
            assert up.returncode == 0, up.stderr + manager.journal_tail()
            yield found
            down = found.ctl("down")
            assert down.returncode == 0, down.stderr
    finally:
        shutil.rmtree(top)


def _furnish(manager: machine.Manager, tree: NixOS) -> None:
    """What of the machine is not in the tree: mounts, /run/current-system, settings, and whose root it is."""
    settings = manager.paths.config_dir / "strata.toml"
    nixos_tree.base(tree.top / "base")
    settings.write_text(settings.read_text() + _SETTINGS.format(tools=tree.tools, system=_SYSTEM))
    for inside, outside in {**tree.binds, "/usr/local": tree.top / "var"}.items():
        _done(manager, "mount", "--bind", str(outside), f"{tree.top}{inside}")
    _done(manager, "ln", "-s", tree.system, "/run/current-system")
    for name, text in _DROP_INS.items():
        path = Path("/run/systemd/system", name)
        _done(manager, "mkdir", "-p", str(path.parent))
        _done(manager, "tee", str(path), input=text.format(top=tree.top, run=manager.paths.runtime_dir.parent))
    _done(manager, "systemctl", "daemon-reload")


def _done(manager: machine.Manager, *argv: str, input: str = "") -> None:
    said = manager.run(argv, input=input)
    assert said.returncode == 0, said.stderr


@pytest.fixture
def opened(nixos: Machine, request: pytest.FixtureRequest) -> Iterator[Callable[..., Inside]]:
    """Open a session; it is gone afterwards."""
    name = request.node.originalname.removeprefix("test_")[:60]
    session = Inside(nixos.node, OWNER, name)

    def opening(**params: Any) -> Inside:
        assert session.call("create", **params)["created"]
        return session

    yield opening
    nixos.node.ask("sandbox.close", {"owner": OWNER, "session": name})


@pytest.fixture
def session(opened: Callable[..., Inside]) -> Inside:
    """One with the settings of the machine."""
    return opened()


# --- the machine


def test_every_core_service_has_strata_path_as_its_path(nixos: Machine) -> None:
    for name in ("supervisor", "sandbox", "api"):
        shown = nixos.node.manager.run(["systemctl", "show", "-P", "Environment", f"strata-{name}.service"]).stdout
        assert {f"PATH={nixos.tree.strata_path}", f"STRATA_PATH={nixos.tree.strata_path}"} <= set(shown.split())


@pytest.mark.parametrize("missing", _MACHINE_HAS_NOT)
def test_a_machine_without_it_opens_sessions(nixos: Machine, opened: Callable[..., Inside], missing: str) -> None:
    assert not os.path.lexists(f"{nixos.tree.top}{missing}")
    assert opened(network="host").call("exec", command="echo works")["output"] == "works"


@pytest.mark.parametrize("driver", ["kernel", "fuse", "none"])
def test_each_driver_works(opened: Callable[..., Inside], driver: str) -> None:
    session = opened(driver=driver)
    assert session.call("describe")["driver"] == driver
    assert session.call("exec", command="touch /root/x && ls /root; id -u")["output"].split() == ["x", "0"]


def test_as_nobody_all_works_that_takes_no_root_though_something_is_mounted_below_usr(nixos: Machine) -> None:
    said = nixos.python("-m", "strata.sandbox.fitness", uid=NOBODY)
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert {name for name, why in found.items() if why} <= {"image", "owners", "fuse"}, found
    assert not found["fuse"] or "/dev/fuse" in found["fuse"]


def test_doctor_says_what_is_missing_in_the_words_of_nixos(nixos: Machine) -> None:
    said = nixos.run(nixos.tree.python, "-P", "-m", "strata", "doctor", "--json").stdout
    found = {check["name"]: check for check in json.loads(said)["checks"]}
    assert found["bwrap"]["mend"].startswith("add pkgs.bubblewrap to environment.systemPackages && nixos-rebuild")
    assert "apt-get" not in said


# --- what a session sees


def test_the_shell_is_the_bash_of_the_tools(nixos: Machine, session: Inside) -> None:
    said = session.call("exec", command='[[ $BASH_VERSION ]] && shopt -oq posix || echo "$SHELL $0"; cut() { :; }')
    bash = f"{nixos.tree.tools}/bin/bash"
    assert said["output"].split() == [bash, bash]


def test_path_ends_with_the_tools(nixos: Machine, session: Inside) -> None:
    said = session.call("exec", command="echo $PATH; command -v ls")["output"].split()
    assert said == [
        f"/usr/local/bin:/usr/bin:/bin:/sbin:{nixos.tree.tools}/bin",
        f"{nixos.tree.tools}/bin/ls",
    ]


def test_a_run_finds_its_program_among_the_tools(session: Inside) -> None:
    assert session.run("id", "-u")["stdout"] == "0\n"
    assert session.run("/usr/bin/env", "head", "-c", "2", "/etc/hostname")["stdout"] == "st"


def test_what_is_not_named_as_a_tool_is_not_on_path(session: Inside) -> None:
    assert session.call("exec", command="unshare")["exit_code"] == 127


def test_the_store_is_read_only_and_the_rest_of_nix_is_not_there(session: Inside) -> None:
    said = session.call("exec", command="ls /nix; touch /nix/store/x; stat -c %U:%u /nix/store")
    assert (said["stdout"].split(), "Read-only file system" in said["stderr"]) == (["store", "root:0"], True)


@pytest.mark.parametrize("path", ["/etc/shadow", "/etc/static", "/run/current-system", "/nix/var", "/etc/ssh"])
def test_what_the_machine_keeps_to_itself_is_not_there(session: Inside, path: str) -> None:
    assert session.call("exec", command=f"[ ! -e {path} ] && [ ! -L {path} ]")["exit_code"] == 0


def test_certificates_are_the_machines(session: Inside) -> None:
    assert session.run("cat", "/etc/ssl/certs/ca-certificates.crt")["stdout"] == "trusted\n"


def test_time_zones_are_the_machines(session: Inside) -> None:
    assert session.call("exec", command="cat $TZDIR/UTC")["output"] == "a zone"


def test_the_system_is_known_by_name(session: Inside) -> None:
    assert session.run("cat", "/etc/os-release")["stdout"] == "ID=nixos\n"


def test_users_are_known_by_name(session: Inside) -> None:
    assert session.run("id", "-un")["stdout"] == "root\n"


def test_terminals_of_the_tools_are_known(nixos: Machine, session: Inside) -> None:
    assert session.call("exec", command="echo $TERMINFO_DIRS")["output"] == f"{nixos.tree.tools}/share/terminfo"
    assert session.run("tput", "colors")["stdout"] == "256\n"


# --- templates


def test_a_template_may_give_what_the_machines_users_have(nixos: Machine, opened: Callable[..., Inside]) -> None:
    session = opened(template="system")
    assert session.run("unshare", "--version")["exit_code"] == 0
    assert session.call("exec", command="readlink() { :; }; cd -P /run/current-system && pwd")["output"] == (
        nixos.tree.system
    )


def test_a_template_may_give_no_tools_and_there_is_still_a_shell(opened: Callable[..., Inside]) -> None:
    session = opened(template="bare")
    said = session.call("exec", command='echo "$0 $PATH"')["output"].split()
    assert said == [f"{nixos_tree.store('bash')}/bin/bash", "/usr/local/bin:/usr/bin:/bin:/sbin"]
    assert session.call("exec", command="ls")["exit_code"] == 127


def test_with_a_base_the_store_is_not_shown(opened: Callable[..., Inside]) -> None:
    session = opened(template="own")
    assert session.call("exec", command="echo /nix*; echo $PATH")["output"].split() == [
        "/nix*",
        "/usr/local/bin:/usr/bin:/bin:/sbin",
    ]


@pytest.mark.parametrize("driver", ["kernel", "fuse", "none"])
def test_a_template_may_lay_tools_over_a_base(nixos: Machine, opened: Callable[..., Inside], driver: str) -> None:
    session = opened(template="both", driver=driver)
    assert session.call("exec", command="command -v ls; ls /nix")["output"].split() == [
        f"{nixos.tree.tools}/bin/ls",
        "store",
    ]


# --- what people do


def test_strata_ctl_of_the_machine_runs_programs_and_copies_files(nixos: Machine, session: Inside) -> None:
    label = f"{OWNER}/{session.session}"
    ran = nixos.ctl("run", label, "--", "head", "-c", "6", "/etc/hostname")
    assert (ran.returncode, ran.stdout) == (0, "strata"), ran.stderr
    copied = nixos.ctl("cp", "/etc/os-release", f"{label}:/root/copy")
    assert copied.returncode == 0, copied.stderr
    assert session.run("cat", "copy")["stdout"] == "ID=nixos\n"


def test_a_shell_keeps_its_state_over_a_crash_of_the_room(nixos: Machine, session: Inside) -> None:
    session.call("exec", command="cd /tmp; colour=red")
    nixos.node.kill("sandbox")
    assert session.call("exec", command="echo $colour in $PWD")["output"] == "red in /tmp"


def test_a_terminal_is_a_shell_of_the_tools(session: Inside) -> None:
    with session.attach(rows=30, cols=100) as screen:
        screen.type("echo $((6*7)) on $(tput cols); exit\r")
        screen.until(r"42 on 100")
        screen.rest()


def test_files_go_in_and_come_out(session: Inside) -> None:
    session.call("put", path="note", data="hello\n")
    assert session.run("cat", "note")["stdout"] == "hello\n"
    assert session.call("get", path="note")["data"] == "hello\n"


def test_a_snapshot_holds_what_was_written_and_a_fork_has_the_tools(nixos: Machine, session: Inside) -> None:
    session.call("exec", command="echo kept > /root/note; mkdir /srv/made")
    assert {each["path"] for each in session.call("diff")["changes"]} == {"/root/note", "/srv/made"}
    session.call("snapshot", name="kept")
    forked = Inside(nixos.node, OWNER, "forked")
    try:
        session.call("fork", to_session="forked", snapshot="kept")
        assert forked.call("exec", command="cat note; ls /srv")["output"].split() == ["kept", "made"]
    finally:
        forked.call("close")
        session.call("remove_snapshot", name="kept")
