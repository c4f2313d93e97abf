# SPDX-License-Identifier: MIT
"""The private systemd: what it gives, what it shares with the machine, and that it leaves nothing behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import machine
import pytest
from machine import Manager
from pystemd.dbuslib import DBusAddress

from strata import processes
from strata.embedded import boot, mountpoints, plan
from strata.embedded.boot import Embedded
from strata.errors import Conflict, Internal, InvalidArgument, Unavailable
from strata.paths import Paths

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to boot a private systemd")

# What a second system must never write to on the machine it lives on.
_MACHINES_OWN = ("/etc", "/var/log", "/var/lib/systemd", "/dev")
_MANAGER = (b"org.freedesktop.systemd1", b"/org/freedesktop/systemd1", b"org.freedesktop.systemd1.Manager")
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_SYSCTLS = ("fs/file-max", "fs/nr_open", "net/unix/max_dgram_qlen", "kernel/hostname", "kernel/core_pattern")


@pytest.fixture
def paths() -> Iterator[Paths]:
    """Directories of a test's own."""
    with machine.directories() as found:
        yield found


@pytest.fixture
def embedded(paths: Paths) -> Iterator[Embedded]:
    """A private systemd of a test's own."""
    found = boot.boot(paths)
    yield found
    boot.stop(found)


@pytest.fixture(scope="module")
def shared() -> Iterator[Manager]:
    """A private systemd for tests that change nothing of it."""
    with machine.private() as found:
        yield found


def _until(holds: Callable[[], object], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def _python(code: str, paths: Paths) -> list[str]:
    """A process of its own with `paths` and `boot` at hand."""
    given = f"Paths({str(paths.runtime_dir)!r}, {str(paths.state_dir)!r}, {str(paths.config_dir)!r})"
    head = "from pathlib import Path; from strata.paths import Paths; from strata.embedded import boot; "
    return [sys.executable, "-c", f"{head}paths = Paths(*map(Path, {given})); {code}"]


def _traces(paths: Paths) -> list[str]:
    """What there is on the machine of the private systemd of these paths."""
    files = [paths.runtime_dir, paths.state_dir / "private"]
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(paths.runtime_dir) in line]
    return [str(path) for path in (*plan.cgroups_of(paths), *files) if path.exists()] + mounts


def _listing(*tops: str) -> set[tuple[str, int, int]]:
    found = set()
    for top in tops:
        for directory, _, names in os.walk(top):
            for path in (directory, *(os.path.join(directory, name) for name in names)):
                status = os.lstat(path)
                # Of a device or a directory of /dev the times say nothing: opening a terminal changes them.
                found.add((path, status.st_mode, 0 if top == "/dev" else status.st_mtime_ns))
    return {entry for entry in found if not entry[0].startswith(("/dev/pts", "/dev/shm"))}


# --- what it gives


def test_the_system_is_running_when_boot_returns(shared: Manager) -> None:
    """`running`, not `starting`, and not `degraded`: nothing that it tried to start has failed."""
    assert shared.run(["systemctl", "is-system-running"]).stdout == "running\n"


def test_boot_takes_less_than_ten_seconds(paths: Paths) -> None:
    """About 0.15 s on two idle cores; the bound is for a machine that does much else."""
    before = time.monotonic()
    found = boot.boot(paths)
    boot.stop(found)
    assert time.monotonic() - before < 10


def test_a_dynamic_user_runs_and_keeps_its_state_in_our_directory(shared: Manager) -> None:
    """What systemd writes below /var/lib/private lies in the state directory, and nothing in the machine's /var/lib."""
    argv = ["systemd-run", "--quiet", "--unit=keeper", "--property=DynamicUser=yes", "--property=Type=oneshot"]
    answer = shared.run([*argv, "--property=StateDirectory=strata/keeper", "touch", "/var/lib/strata/keeper/kept"])
    assert answer.returncode == 0, answer.stderr
    _until((shared.paths.state_dir / "private/strata/keeper/kept").exists)
    assert not os.path.lexists("/var/lib/private/strata")


def test_a_memory_limit_is_enforced(shared: Manager) -> None:
    """The machine's own controllers hold for units below our cgroup."""
    limits = ["--property=MemoryMax=32M", "--property=MemorySwapMax=0", "--property=RemainAfterExit=yes"]
    greedy = f"{sys.executable} -c 'len(bytearray(200 << 20))'"
    shared.run(["systemd-run", "--quiet", "--unit=greedy", *limits, "sh", "-c", greedy])

    def result() -> str:
        return str(shared.run(["systemctl", "show", "--value", "--property=SubState", "greedy"]).stdout).strip()

    _until(lambda: result() != "running")
    assert result() == "failed"


def test_the_journal_holds_what_a_unit_says(shared: Manager) -> None:
    """journald runs inside, with fields of a unit's own."""
    argv = [
        "systemd-run",
        "--quiet",
        "--unit=talker",
        "--property=LogExtraFields=STRATA_EVENT=test.said",
        "echo",
        "said",
    ]
    assert shared.run(argv).returncode == 0
    _until(lambda: shared.journal("STRATA_EVENT=test.said"))
    assert [record["MESSAGE"] for record in shared.journal("STRATA_EVENT=test.said")] == ["said"]


def test_syslog_reaches_the_private_journal(shared: Manager) -> None:
    """/dev/log is the private system's own; the machine gets none by it."""
    assert shared.run(["logger", "--tag=emb-test", "by syslog"]).returncode == 0
    _until(lambda: shared.journal("SYSLOG_IDENTIFIER=emb-test"))


def test_no_unit_of_the_machine_is_known(shared: Manager) -> None:
    """Not masked but absent: gettys, udev, timers and services of the machine cannot start even by mistake."""
    files = shared.run(["systemctl", "list-unit-files", "--no-legend", "--plain", "--no-pager"]).stdout
    assert not any(word in files for word in ("getty", "udev", "tmpfiles", "fstrim", "apt-daily", "random-seed"))


def test_its_machine_id_is_its_own(shared: Manager) -> None:
    """Two systems with one id would mix their journals (machine-id(5))."""
    inside = shared.run(["cat", "/etc/machine-id"]).stdout
    assert len(inside.strip()) == 32
    assert inside != Path("/etc/machine-id").read_text()


def test_kernel_settings_can_be_read_and_a_user_namespace_gets_its_proc(shared: Manager) -> None:
    """/proc/sys is uncovered after boot; a covered one would deny sandboxes a /proc of their own."""
    argv = ["unshare", "--user", "--map-root-user", "--pid", "--mount", "--fork", "--mount-proc", "cat", "/proc/1/comm"]
    answer = shared.run(argv)
    assert (answer.stdout, answer.stderr) == ("cat\n", "")


def test_a_terminal_can_be_opened_inside(shared: Manager) -> None:
    """Its /dev is its own, the machine's pseudo terminals are in it."""
    answer = shared.run([sys.executable, "-c", "import os, pty; print(os.ttyname(pty.openpty()[1]))"])
    assert answer.stdout.startswith("/dev/pts/"), answer.stderr


# --- run


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["sh", "-c", "kill -TERM $$"], 143),
        (["no-such-program"], 127),
        (["/etc"], 126),
    ],
)
def test_run_gives_the_exit_code_as_a_shell_would(shared: Manager, argv: list[str], code: int) -> None:
    """128 + N for signal N, 127 not found, 126 not a program."""
    assert shared.run(argv).returncode == code


def test_run_keeps_output_whole_and_apart(shared: Manager) -> None:
    """A megabyte goes through, and errors stay with the errors."""
    answer = shared.run(["sh", "-c", "yes strata | head -c 1000000; echo odd >&2"])
    assert len(answer.stdout) == 1_000_000
    assert answer.stderr == "odd\n"


def test_run_passes_input_environment_and_directory(shared: Manager) -> None:
    """Nothing is added and nothing is lost."""
    answer = shared.run(["sh", "-c", "cat; echo $COLOUR; pwd"], input="in ", env={"COLOUR": "blue"}, cwd="/usr")
    assert answer.stdout == "in blue\n/usr\n"


def test_run_is_in_a_cgroup_of_its_own(shared: Manager) -> None:
    """So what it starts counts neither as the caller's nor as any unit's, and stop finds it."""
    lines = shared.run(["cat", "/proc/self/cgroup"]).stdout.splitlines()
    assert {line.split(":")[2].split("-")[0] for line in lines} == {"/run"}


def test_run_leaves_no_cgroup(shared: Manager) -> None:
    """The leaf goes when the program does."""
    shared.run(["true"])
    assert shared.embedded is not None
    assert [found for cgroup in shared.embedded.cgroups for found in cgroup.glob("run-*")] == []


def test_run_passes_signals_on(embedded: Embedded, paths: Paths) -> None:
    """Who ends the runner ends the program, in the program's own way."""
    script = 'trap "echo heard; exit 5" TERM; echo ready; while :; do sleep 0.05; done'
    code = f"raise SystemExit(boot.run(boot.find(paths), ['sh', '-c', {script!r}]))"
    with subprocess.Popen(_python(code, paths), stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline() == "ready\n"
        runner.terminate()
        assert runner.stdout.read() == "heard\n"
    assert runner.returncode == 5


def test_run_refuses_an_empty_command(shared: Manager) -> None:
    """Parsed at the door."""
    assert shared.embedded is not None
    with pytest.raises(InvalidArgument, match="a command without NUL bytes is needed"):
        boot.run(shared.embedded, [])


# --- what it shares


@pytest.mark.parametrize("top", ["/tmp", "/var/tmp", "/srv", "/root", "/dev/shm"])
def test_the_machines_files_are_seen_both_ways(shared: Manager, top: str) -> None:
    """A file made on either side is there on the other, the same inode."""
    with tempfile.TemporaryDirectory(dir=top) as name:
        Path(name, "outside").write_text("from the machine")
        assert shared.run(["cat", f"{name}/outside"]).stdout == "from the machine"
        assert shared.run(["sh", "-c", f"echo from inside > {name}/inside"]).returncode == 0
        assert Path(name, "inside").read_text() == "from inside\n"


def test_the_runtime_directory_is_at_the_same_place(shared: Manager) -> None:
    """/run is private, but the sockets in the runtime directory are reached from both sides."""
    (shared.paths.runtime_dir / "hello").write_text("hello")
    assert shared.run(["cat", str(shared.paths.runtime_dir / "hello")]).stdout == "hello"


def test_its_own_bus_answers_from_outside(shared: Manager) -> None:
    """A process of the machine talks to it over D-Bus by this address, without a bus daemon."""
    with DBusAddress(shared.bus_address.encode(), peer_to_peer=True) as bus:
        assert bus.get_property(*_MANAGER, b"Version", b"s").startswith(str(shared.version).encode())


def test_a_later_mount_of_the_machine_shows_up_inside(tmp_path: Path) -> None:
    """The private tree follows the machine's, in this direction only (MS_SLAVE)."""
    code = (
        "import subprocess, sys, pathlib; sys.path.insert(0, 'tests'); import machine; top = sys.argv[1]\n"
        "subprocess.run(['mount', '--make-rshared', '/'], check=True)\n"
        "with machine.private() as m:\n"
        "    subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', top], check=True)\n"
        "    pathlib.Path(top, 'late').write_text('late')\n"
        "    m.run(['mount', '-t', 'tmpfs', 'tmpfs', '/srv'])\n"
        "    print(m.run(['cat', top + '/late']).stdout, '/srv ' in pathlib.Path('/proc/self/mounts').read_text())\n"
    )
    argv = ["unshare", "--mount", sys.executable, "-c", code, str(tmp_path)]
    answer = subprocess.run(argv, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert answer.stdout == "late False\n", answer.stderr


def test_the_machine_is_not_written_to(paths: Paths) -> None:
    """/etc, /var/log, /var/lib/systemd, /dev, kernel settings, mounts: the same before, during and after."""

    def look() -> tuple[object, ...]:
        settings = [Path("/proc/sys", name).read_text() for name in _SYSCTLS]
        return _listing(*_MACHINES_OWN), settings, Path("/proc/self/mountinfo").read_text()

    before = look()
    found = boot.boot(paths)
    boot.run(found, ["systemd-run", "--quiet", "--wait", "--on-active=0", "true"], stderr=subprocess.DEVNULL)
    during = look()
    boot.stop(found)
    assert before == during
    assert before == look()


def test_all_that_it_starts_is_below_its_own_cgroups(shared: Manager) -> None:
    """No process of it is in a cgroup of the machine's, in any hierarchy."""
    assert shared.embedded is not None
    name = shared.embedded.cgroups[0].name
    shared.run(["systemd-run", "--quiet", "--unit=sleeper", "sleep", "60"])
    members = _processes_in(os.readlink(f"/proc/{shared.embedded.pid}/ns/pid"))
    assert len(members) >= 3
    for pid in members:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        ours = [line for line in lines if f"/{name}" in line]
        assert len(ours) == len(shared.embedded.cgroups), lines


def _processes_in(namespace: str) -> set[int]:
    """The processes of a PID namespace, as the machine numbers them."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        # Gone meanwhile, or more privileged than we are and so none of ours.
        with contextlib.suppress(FileNotFoundError, PermissionError, ProcessLookupError):
            if os.readlink(f"/proc/{pid}/ns/pid") == namespace and not _is_bridge(pid):
                found.add(int(pid))
    return found


def _is_bridge(pid: str) -> bool:
    """Whether it is a test's own connection to the bus (Embedded.bus_address), which stays in the test's cgroup."""
    return Path(f"/proc/{pid}/comm").read_text().startswith(("systemd-stdio-b", "timeout", "nsenter"))


def test_a_closed_connection_leaves_no_orphan_in_the_private_namespace(shared: Manager) -> None:
    """Its PID 1 ends only when each is collected, and not every machine's PID 1 collects what it is left with."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0  # orphans of ours come to us
    try:
        before = _children()
        with DBusAddress(shared.bus_address.encode(), peer_to_peer=True) as bus:
            bus.get_property(*_MANAGER, b"Version", b"s")
            assert _children() != before
        assert _children() == before
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _children() -> dict[int, str]:
    """The children of this process, the dead ones too, by pid."""
    pids = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {int(pid): Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids}


# --- how it lives and ends


def test_it_survives_the_shell_that_started_it(paths: Paths) -> None:
    """Neither the end of its starter nor a hang-up of the starter's session reaches it."""
    with subprocess.Popen(_python("boot.boot(paths)", paths), start_new_session=True) as starter:
        session = starter.pid
    found = boot.find(paths)
    assert found is not None
    try:
        assert os.getsid(found.pid) != session
        with pytest.raises(ProcessLookupError):
            os.killpg(session, signal.SIGHUP)
        assert boot.run(found, ["true"]) == 0
    finally:
        boot.stop(found)


def test_a_second_boot_for_the_same_directory_is_refused(embedded: Embedded, paths: Paths) -> None:
    """With a word on what to do, and the first one unharmed."""
    with pytest.raises(Conflict, match=r"one runs already for .* \(pid \d+\); use it, or stop it"):
        boot.boot(paths)
    assert boot.run(embedded, ["true"]) == 0


def test_two_live_side_by_side_and_the_end_of_one_harms_not_the_other(embedded: Embedded) -> None:
    """Also the mount points that the first one had to make stay while the second one stands on them."""
    with machine.private() as second:
        boot.stop(embedded)
        assert second.run(["mountpoint", "--quiet", "/var/lib/strata"]).returncode == 0
        assert second.run(["systemctl", "--failed", "--no-legend", "--no-pager"]).stdout == ""


def test_two_containers_with_the_same_directory_harm_each_other_not(embedded: Embedded, paths: Paths) -> None:
    """They may share the machine's cgroup hierarchies, as with `docker run -v /sys/fs/cgroup:/sys/fs/cgroup`."""
    covered = f'mount -t tmpfs -o mode=755 tmpfs {paths.runtime_dir.parent} && exec "$@"'
    command = _python("found = boot.boot(paths); print(found.alive()); boot.stop(found)", paths)
    argv = ["unshare", "--mount", "sh", "-c", covered, "other", *command]
    assert subprocess.run(argv, capture_output=True, text=True, check=False).stdout == "True\n"
    assert embedded.alive()


def test_find_knows_a_living_one_only(embedded: Embedded, paths: Paths) -> None:
    """The record is believed when the process is there and is the same one."""
    assert boot.find(paths) == embedded
    os.kill(embedded.pid, signal.SIGKILL)
    _until(lambda: boot.find(paths) is None)


def test_the_end_of_a_killed_one_is_awaited(embedded: Embedded, paths: Paths) -> None:
    """It is not alive any more as soon as it ends; what runs on it is, and answers, until it has ended."""
    boot.run(embedded, ["sh", "-c", "for i in $(seq 100); do sleep 600 </dev/null >/dev/null 2>&1 & done"])
    boot.await_end(paths)
    assert embedded.alive(), "one that lives is not waited for"
    os.kill(embedded.pid, signal.SIGKILL)
    _until(lambda: boot.find(paths) is None)
    boot.await_end(paths)
    found = processes.stat(embedded.pid)
    assert found is None or found.dead


def test_a_number_used_again_is_not_taken_for_it(embedded: Embedded) -> None:
    """A recycled pid has another start time."""
    assert not embedded._replace(start_time=embedded.start_time + 1).alive()
    assert not embedded._replace(pid=os.getpid()).alive()


def test_stop_leaves_nothing(paths: Paths) -> None:
    """No process, cgroup, mount, socket or file; not even of a program that `run` left behind."""
    found = boot.boot(paths)
    boot.run(found, ["systemd-run", "--quiet", "--unit=lingering", "sleep", "600"])
    boot.run(found, ["sh", "-c", "sleep 600 </dev/null >/dev/null 2>&1 &"])
    held = os.open(f"/proc/{found.pid}/ns/pid", os.O_RDONLY)  # so that no other namespace gets its number
    namespace = os.readlink(f"/proc/{found.pid}/ns/pid")
    assert len(_processes_in(namespace)) >= 4
    boot.stop(found)
    assert _traces(paths) == []
    assert not found.alive()
    assert _processes_in(namespace) <= {found.pid}  # a zombie until the machine's init asks about it
    os.close(held)
    boot.stop(found)  # and once more is no error


def test_units_end_in_order(paths: Paths) -> None:
    """A stop is a shutdown: services get their SIGTERM and the time to act on it."""
    found = boot.boot(paths)
    mark = paths.state_dir / "ended"
    script = f'trap "touch {mark}; exit" TERM; touch {mark}.ready; while :; do sleep 0.05; done'
    boot.run(found, ["systemd-run", "--quiet", "sh", "-c", script])
    _until(Path(f"{mark}.ready").exists)
    boot.stop(found)
    assert mark.exists()


def test_what_is_left_of_a_killed_one_is_cleaned_up(paths: Paths) -> None:
    """SIGKILL to its PID 1 ends all its processes at once; `clean` takes the rest away."""
    found = boot.boot(paths)
    os.kill(found.pid, signal.SIGKILL)
    _until(lambda: boot.find(paths) is None)
    assert boot.clean(paths)
    assert _traces(paths) == []
    assert not boot.clean(paths)


def test_a_killed_one_is_no_hindrance_to_the_next(paths: Paths) -> None:
    """boot removes what is left of the last one itself."""
    os.kill(boot.boot(paths).pid, signal.SIGKILL)
    _until(lambda: boot.find(paths) is None)
    boot.stop(boot.boot(paths))
    assert _traces(paths) == []


def test_a_lost_record_hides_nothing_from_clean(paths: Paths) -> None:
    """The cgroups' names follow from the runtime directory, so what runs in them is found and ended."""
    found = boot.boot(paths)
    (paths.runtime_dir / "embedded.json").write_text("{")
    with pytest.raises(Internal, match="remove it and run `strata-ctl down`"):
        boot.find(paths)
    (paths.runtime_dir / "embedded.json").unlink()
    assert boot.clean(paths)
    assert not found.alive()
    assert _traces(paths) == []


def test_many_may_clean_up_at_the_same_time(paths: Paths) -> None:
    """Whoever comes second finds it gone, at whatever moment: the directory goes with the last of it."""
    for _ in range(20):
        paths.runtime_dir.mkdir()
        plan.log_of(paths.runtime_dir).touch()
        for cgroup in plan.cgroups_of(paths):
            cgroup.mkdir()
        with ThreadPoolExecutor(4) as pool:
            assert True in list(pool.map(lambda _: boot.clean(paths, timeout=5), range(4)))
        assert _traces(paths) == []


@pytest.mark.parametrize("seconds", [0.06, 0.09, 0.12, 0.15, 0.2])
def test_a_boot_that_is_killed_half_way_is_cleaned_up(paths: Paths, seconds: float) -> None:
    """At whatever moment the booting process dies, `clean` finds what it had made."""
    with subprocess.Popen(_python("boot.boot(paths)", paths)) as booting:
        time.sleep(seconds)  # the moment is the parameter, not something to wait for
        booting.kill()
    boot.clean(paths)
    assert _traces(paths) == []


def test_a_boot_that_takes_too_long_leaves_nothing(paths: Paths) -> None:
    """The error says what happened and what systemd had to say until then."""
    with pytest.raises(Unavailable, match="cannot boot a private systemd: systemd is not up in time"):
        boot.boot(paths, timeout=0)
    assert _traces(paths) == []


def test_a_tree_without_systemd_is_refused(paths: Paths, tmp_path: Path) -> None:
    """Before anything is made, with a word on what to do."""
    with pytest.raises(Unavailable, match=f"there is no systemd in {tmp_path}; install the package `systemd`"):
        boot.boot(paths, root=tmp_path)
    assert _traces(paths) == []


def test_a_bind_that_is_not_there_is_refused(paths: Paths) -> None:
    """By name."""
    with pytest.raises(InvalidArgument, match="cannot bind /no/such: there is no such path"):
        boot.boot(paths, binds=[Path("/no/such")])
    assert _traces(paths) == []


def test_the_last_one_takes_the_lent_mount_points_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made when missing, kept while an instance is there, and gone after it; what was there before stays."""
    state, private, machine_id = tmp_path / "strata", tmp_path / "private", tmp_path / "machine-id"
    private.mkdir()
    monkeypatch.setattr(mountpoints, "STATE", state)
    monkeypatch.setattr(mountpoints, "MACHINE_ID", machine_id)
    monkeypatch.setattr(mountpoints, "_DIRECTORIES", ((state, 0o755), (private, 0o700)))
    monkeypatch.setattr(mountpoints, "_NOTE", tmp_path / "note")
    mountpoints.lend()
    mountpoints.give_back([tmp_path])
    assert state.exists()
    mountpoints.give_back([])
    assert sorted(os.listdir(tmp_path)) == ["private"]


# --- a tree of its own


def test_a_given_tree_boots_its_own_systemd(modern_manager: Manager) -> None:
    """Debian 13's, beside a machine that has another."""
    assert modern_manager.version >= 257
    assert modern_manager.run(["systemctl", "is-system-running"]).stdout == "running\n"
    assert "trixie" in modern_manager.run(["cat", "/etc/os-release"]).stdout


def test_a_given_tree_is_not_written_to(modern_manager: Manager) -> None:
    """What is written inside goes to memory, and goes with the instance."""
    assert modern_manager.embedded is not None
    assert modern_manager.run(["touch", "/etc/written"]).returncode == 0
    assert modern_manager.embedded.root is not None
    assert not (modern_manager.embedded.root / "etc/written").exists()


def test_a_given_tree_has_the_shared_directories(modern_manager: Manager) -> None:
    """The runtime directory is the machine's, at the same place."""
    (modern_manager.paths.runtime_dir / "here").write_text("here")
    assert modern_manager.run(["cat", str(modern_manager.paths.runtime_dir / "here")]).stdout == "here"


def test_a_given_tree_knows_the_newer_directives(modern_manager: Manager) -> None:
    """RestartSteps= is from v254: what Debian 12 cannot show is shown here."""
    argv = ["systemd-run", "--quiet", "--unit=stepper", "--property=Restart=always", "--property=RestartSteps=5"]
    answer = modern_manager.run([*argv, "--property=RestartSec=1", "--property=RestartMaxDelaySec=30", "sleep", "60"])
    assert answer.returncode == 0, answer.stderr
    shown = modern_manager.run(["systemctl", "show", "--value", "--property=RestartSteps", "stepper"]).stdout
    assert shown == "5\n"
