# SPDX-License-Identifier: MIT
"""Roots of sessions against the real kernel: what each driver promises, and that nothing outside is touched."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import box
import pytest
from box import Box, Refused
from node import until

from strata.sandbox.layers import erase, loop, probe

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to build roots of sessions")

DRIVERS = ("kernel", "fuse", "none")
OVERLAYS = ("kernel", "fuse")


@pytest.fixture(scope="module")
def works() -> dict[str, str]:
    """What this machine can, with reasons; a driver that it cannot is skipped loudly."""
    return probe.probe()


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of sessions of this module, with the stock that they share."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def directory(state: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A session's directory, erased afterwards as sessions' are; no loop device may be left on what was in it."""
    path = state / "sessions/owner" / request.node.name.replace("/", "_")
    yield path
    for each in path.parent.glob(f"{path.name}*"):
        erase.tree(str(each))
    until(lambda: not _loops_below(path), "the loop devices of the test are gone")


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest, works: dict[str, str]) -> str:
    """Each driver, where it works."""
    return _usable(request.param, works)


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest, works: dict[str, str]) -> str:
    """Each driver that lays layers over one another, where it works."""
    return _usable(request.param, works)


@pytest.fixture
def session(directory: Path, driver: str) -> Iterator[Box]:
    """A session on the host's /usr, by each driver."""
    with box.opened(directory, driver=driver) as found:
        yield found


@pytest.fixture
def layered(directory: Path, overlay: str) -> Iterator[Box]:
    """As `session`, by the drivers that are overlays."""
    with box.opened(directory, driver=overlay) as found:
        yield found


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base tree: a shell, ls, touch and what they load, and an /etc of its own."""
    top = tmp_path_factory.mktemp("base")
    (top / "usr/bin").mkdir(parents=True)
    (top / "bin").symlink_to("usr/bin")
    (top / "etc").mkdir()
    (top / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    for program in ("bash", "ls", "touch", "cat", "rm", "stat", "mkdir"):
        _copy_program(Path("/usr/bin", program), top)
    (top / "usr/bin/sh").symlink_to("bash")
    return top


def _copy_program(program: Path, top: Path) -> None:
    needed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout.split()
    for path in (str(program), *(word for word in needed if word.startswith("/"))):
        target = top / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.write_bytes(Path(path).read_bytes())
            target.chmod(0o755)


def _usable(name: str, works: dict[str, str]) -> str:
    if works[name]:
        pytest.skip(f"the overlay driver {name}: {works[name]}")
    return name


def _loops_below(path: Path) -> list[str]:
    """Files below a directory that a loop device is on (kernel documentation, ABI, sysfs-block-loop)."""
    found = []
    for each in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # it went while we looked
            found.append(each.read_text())
    return [name for name in found if str(path) in name]


def listing(top: Path) -> list[tuple[str, int, int, int]]:
    """All that is below a directory, with what a write to it would change."""
    found = [
        (str(path), path.lstat().st_mtime_ns, path.lstat().st_ctime_ns, path.lstat().st_uid)
        for path in sorted(top.rglob("*"))
    ]
    return [(str(top), top.stat().st_mtime_ns, top.stat().st_ctime_ns, top.stat().st_uid), *found]


# --- what is seen inside


def test_root_inside_is_nobody_outside(session: Box) -> None:
    assert session.out("id -u; id -g") == "0\n0"
    assert os.stat(f"/proc/{session.init}").st_uid == box.BASE


def test_what_the_host_has_in_usr_cannot_be_changed(session: Box) -> None:
    status, said = session.run("touch /usr/x; touch /bin/x; rm -f /usr/bin/env; chmod 777 /usr; test -x /usr/bin/env")
    assert (status, said.count("Read-only file system")) == (0, 4)


def test_places_that_can_be_written_to(session: Box) -> None:
    session.out("touch /tmp/x /root/x /data /run/x /dev/shm/x")
    for path in ("/data", "/run/x", "/dev/shm/x"):
        assert not Path(path).exists()


def test_etc_is_our_own(session: Box) -> None:
    assert session.out("cut -d: -f1 /etc/passwd").split() == ["root", "nobody"]
    assert session.out("cat /etc/hostname; hostname") == "strata\nstrata"
    assert session.out("getent hosts localhost | head -n1; awk 'BEGIN { print 1 }'").endswith("1")
    for path in ("/etc/shadow", "/etc/gshadow", "/etc/resolv.conf", "/etc/ssh", "/etc/machine-id"):
        assert session.run(f"test -e {path}")[0] == 1, path


def test_name_servers_are_known_with_the_hosts_network_alone(directory: Path) -> None:
    with box.opened(directory, network="host") as found:
        assert found.out("cat /etc/resolv.conf") == Path("/etc/resolv.conf").read_text().strip()


def test_an_isolated_network_has_a_loopback_alone(session: Box) -> None:
    assert session.out("tail -n +3 /proc/net/dev | cut -d: -f1").split() == ["lo"]


def test_the_first_process_has_no_capabilities_and_gets_none(session: Box) -> None:
    """What bubblewrap leaves in the bounding set is of no use: no_new_privs keeps an exec from giving it."""
    words = dict(line.split(":\t") for line in Path(f"/proc/{session.init}/status").read_text().splitlines())
    assert {int(words[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    assert words["NoNewPrivs"] == "1"


def test_devices_are_the_harmless_ones(session: Box) -> None:
    names = session.out("ls /dev").split()
    assert set(names) - {"core"} == {
        *("null", "zero", "full", "random", "urandom", "tty"),
        *("fd", "stdin", "stdout", "stderr", "ptmx", "pts", "shm"),
    }
    session.out('echo x > /dev/null; head -c 8 /dev/urandom > /dev/zero; test -z "$(cat /dev/null)"')
    assert session.run("mknod /tmp/sda b 8 0")[0] != 0


def test_a_terminal_can_be_made(session: Box) -> None:
    program = "import os, pty; a, b = pty.openpty(); print(os.ttyname(b))"
    assert session.out(f"python3 -c '{program}'") == "/dev/pts/0"


def test_only_processes_of_its_own_are_seen(session: Box) -> None:
    pids = session.out("ls /proc | grep -c '^[0-9]'")
    assert int(pids) <= 5


def test_kernel_settings_cannot_be_written(session: Box) -> None:
    for path in (
        "/proc/sys/kernel/hostname",
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sysrq-trigger",
        "/proc/sys/vm/drop_caches",
    ):
        assert session.run(f"echo 1 > {path}")[0] != 0, path


@pytest.mark.parametrize(
    "command", ["umount /usr", "umount -l /proc", "mount -o remount,rw /usr", "mount -t tmpfs x /mnt"]
)
def test_what_is_mounted_stays(session: Box, command: str) -> None:
    assert session.run(command)[0] != 0


def test_the_mount_table_tells_nothing_of_the_hosts_paths(layered: Box, state: Path) -> None:
    assert str(state) not in layered.out("cat /proc/self/mountinfo")


def test_the_hosts_mount_table_shows_nothing(session: Box, state: Path) -> None:
    assert str(state) not in Path("/proc/self/mountinfo").read_text()
    assert "/sys/root" not in Path("/proc/self/mountinfo").read_text()


def test_the_exchange_is_for_reading(session: Box) -> None:
    assert session.run("touch /run/strata/x")[0] != 0
    assert session.run("rmdir /run/strata")[0] != 0


# --- the first process


def test_the_first_process_outlives_all_that_can_be_killed_inside(session: Box) -> None:
    session.run("kill -9 1; kill -TERM 1; kill -9 -1")
    assert session.out("echo alive") == "alive"


def test_orphans_do_not_become_zombies(session: Box) -> None:
    session.out("for i in $(seq 200); do (sh -c : &); done")
    until(lambda: "Z" not in session.out("cat /proc/[0-9]*/stat | cut -d' ' -f3"), "no zombie is left")


def test_the_first_process_holds_a_pipe_and_nothing_of_the_launcher(session: Box) -> None:
    def held() -> list[str]:
        return sorted(os.readlink(path).split(":")[0] for path in Path(f"/proc/{session.init}/fd").iterdir())

    until(lambda: held() == ["/dev/null", "pipe", "pipe"], "it holds both ends of a pipe and no more")
    assert Path(f"/proc/{session.init}/environ").read_bytes() == b"PWD=/root\0"


def test_an_idle_session_is_small(session: Box) -> None:
    """In PSS, bubblewrap and the payload; with fuse its server too is the session's, and not counted here."""
    used = 0
    for pid in (session.outer, session.init):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        used += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    assert used < 1536


# --- what is written


def test_a_write_lands_in_the_upper_layer_and_what_is_below_stays(layered: Box) -> None:
    layered.out("echo mine > /etc/hostname; rm /etc/hosts; mkdir /data; echo x > /data/x")
    assert layered.out("cat /etc/hostname /data/x; test -e /etc/hosts || echo gone") == "mine\nx\ngone"


def test_files_that_are_gone_below_stay_gone_when_the_directory_is_made_anew(layered: Box) -> None:
    assert layered.out("rm -r /etc/ssl 2>/dev/null; mkdir -p /etc/ssl; ls -A /etc/ssl") == ""


def test_two_sessions_see_nothing_of_each_other(directory: Path, driver: str) -> None:
    with (
        box.opened(directory, driver=driver) as one,
        box.opened(Path(f"{directory}-two"), driver=driver, uid_base=box.BASE + 65536) as two,
    ):
        one.out("for d in / /root /tmp /run /dev/shm /etc; do touch $d/mine 2>/dev/null; done; touch /mine")
        assert two.out("ls -d /mine /root/mine /tmp/mine /run/mine /dev/shm/mine /etc/mine 2>/dev/null || true") == ""
        assert two.run(f"kill -0 {one.init}")[0] != 0


@pytest.mark.parametrize("place", ["/root", "/tmp", "/dev/shm", "/run"])
def test_a_full_disk_is_told_to_the_writer(session: Box, place: str) -> None:
    """Each place that can be written to has a bound of its own."""
    said = session.run(f"head -c 200M /dev/zero > {place}/hog")[1]
    assert "No space left on device" in said
    assert session.out(f"rm {place}/hog; echo more > {place}/x; cat {place}/x") == "more"


def test_too_many_files_are_told_to_the_writer(session: Box) -> None:
    program = "import os\nfor i in range(5000): os.close(os.open(f'/root/f{i}', os.O_CREAT | os.O_WRONLY))"
    assert "No space left on device" in session.run(f'python3 -c "{program}"')[1]


def test_set_user_id_bits_are_void(layered: Box) -> None:
    flags = layered.out("grep ' / / \\| / [^ ]* rw' /proc/self/mountinfo | head -n1")
    assert "nosuid" in flags
    assert "nodev" in flags


# --- a base tree


def test_163_a_base_tree_is_the_root_and_is_never_modified(directory: Path, base: Path, overlay: str) -> None:
    before = listing(base)
    with box.opened(directory, base=str(base), driver=overlay) as found:
        assert found.out("cat /etc/passwd") == "root:x:0:0::/root:/bin/sh"
        found.out("touch /usr/x /etc/x /x /root/x /tmp/x; rm /usr/bin/touch; echo gone > /etc/passwd")
        assert found.out("ls /usr/bin/touch 2>/dev/null; cat /etc/passwd") == "gone"
        assert found.out("stat -c %u /usr/bin/ls") == "0"
    assert listing(base) == before


def test_a_base_tree_without_an_overlay_is_read_only(directory: Path, base: Path) -> None:
    before = listing(base)
    with box.opened(directory, base=str(base), driver="none") as found:
        assert found.run("touch /usr/x")[0] != 0
        found.out("touch /x /root/x /tmp/x")
    assert listing(base) == before


def test_a_base_tree_that_leads_out_of_itself_is_refused(directory: Path, tmp_path: Path, base: Path) -> None:
    wicked = tmp_path / "wicked"
    subprocess.run(["cp", "-a", base, wicked], check=True)
    (wicked / "tmp").symlink_to("/home")
    with pytest.raises(Refused, match="it must be a directory"):
        box.start(directory, base=str(wicked))


def test_a_base_tree_without_a_shell_is_refused(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="there is no shell in"):
        box.start(directory, base=str(tmp_path))


# --- drivers


def test_auto_is_the_kernels_overlay_where_that_works(directory: Path, works: dict[str, str]) -> None:
    _usable("kernel", works)
    with box.opened(directory, driver="auto") as found:
        assert found.said["driver"] == "kernel"
        assert not [warning for warning in found.said["warnings"] if "overlay" in warning]


@pytest.mark.usefixtures("no_fuse")
def test_161_fuse_that_is_not_installed_warns_and_runs_as_none(directory: Path) -> None:
    with box.opened(directory, driver="fuse") as found:
        assert found.said["driver"] == "none"
        assert "there is no fuse-overlayfs" in found.said["warnings"][-1]
        found.out("touch /root/x")


@pytest.fixture
def no_fuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("strata.sandbox.layers.bwrap.program", lambda: "/usr/bin/bwrap")


def test_162_a_kernel_overlay_that_cannot_be_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strata.sandbox.layers.overlay._PRIVILEGED", "no_such_option=1")
    with pytest.raises(Refused, match="cannot mount overlay"):
        box.start(directory, driver="kernel")


def test_auto_falls_back_visibly(directory: Path, monkeypatch: pytest.MonkeyPatch, works: dict[str, str]) -> None:
    _usable("fuse", works)
    monkeypatch.setattr("strata.sandbox.layers.overlay._PRIVILEGED", "no_such_option=1")
    with box.opened(directory, driver="auto") as found:
        assert found.said["driver"] == "fuse"
        assert "kernel does not work here" in found.said["warnings"][0]


def test_fuse_overlayfs_ends_with_the_session(directory: Path, works: dict[str, str]) -> None:
    _usable("fuse", works)
    with box.opened(directory, driver="fuse") as found:
        (server,) = found.said["processes"]
        assert Path(f"/proc/{server}/comm").read_text() == "fuse-overlayfs\n"
        assert os.stat(f"/proc/{server}").st_uid == box.BASE
        assert str(server) not in found.out("ls /proc").split()
    until(lambda: not _alive(server), "fuse-overlayfs has ended")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_without_loop_devices_the_disk_is_memory_and_the_session_says_so(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CONTROL", str(directory.parent / "loop-control"))
    with box.opened(directory) as found:
        assert found.said["disk"] == "tmpfs"
        assert "kept in memory: cannot open" in found.said["warnings"][0]
        assert "No space left on device" in found.run("head -c 200M /dev/zero > /root/hog")[1]
        assert found.out("stat -c %u /root/hog; rm /etc/hosts; ls /etc/hosts 2>/dev/null || echo gone") == "0\ngone"


def test_a_disk_in_memory_leaves_half_of_it_for_processes_and_the_session_says_so(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CONTROL", str(directory.parent / "loop-control"))
    with box.opened(directory, memory_bytes=32 << 20) as found:
        assert "holds 16 MiB, half of its memory_max" in found.said["warnings"][1]
        assert "No space left on device" in found.run("head -c 20M /dev/zero > /root/hog")[1]
        assert found.out("stat -c %s /root/hog") == str(16 << 20)


# --- user mode


@pytest.fixture
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Box]]:
    """Opens a session as an ordinary user does, in a directory of his."""
    top = tmp_path_factory.mktemp("user")
    for path in (top, *top.parents):
        if path.stat().st_uid == 0 and path.stat().st_mode & 0o077 == 0:
            path.chmod(0o711)
    started: list[Box] = []

    def open_one(**more: Any) -> Box:
        (top / "state").mkdir(exist_ok=True)
        os.chown(top / "state", 1234, 1234)
        wanted = {"mapped": False, "uid_base": 1234, **more}
        started.append(box.start(top / "state/sessions/o/s", uid=1234, **wanted))
        return started[-1]

    yield open_one
    for each in started:
        box.end(each)
    erase.tree(str(top / "state"))


def test_an_ordinary_user_has_the_same_in_memory(users: Callable[..., Box]) -> None:
    found = users()
    assert (found.said["driver"], found.said["disk"]) == ("kernel", "tmpfs")
    assert (
        found.out(
            "id -u; touch /x /root/x /tmp/x; rm -r /etc/alternatives; mkdir /etc/alternatives; ls -A /etc/alternatives"
        )
        == "0"
    )
    assert found.run("touch /usr/x")[0] != 0
    assert "No space left on device" in found.run("head -c 200M /dev/zero > /root/hog")[1]
    assert os.stat(f"/proc/{found.init}").st_uid == 1234


# --- the probe


def test_the_probe_leaves_nothing(state: Path) -> None:
    found = probe.probe(str(state / "stock"))
    assert list(found) == ["bwrap", "namespace", "kernel", "fuse", "none", "image", "owners"]
    assert not list(Path("/tmp").glob("strata-probe-*"))
    until(lambda: not _loops_below(Path("strata-probe-")), "the probe's loop devices are gone")
