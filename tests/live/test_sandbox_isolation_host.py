# SPDX-License-Identifier: MIT
"""Ways out of a session to what is around it, tried from inside: files, processes, networks, descriptors, secrets."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import box
import pytest
from cell import Cell, open_descriptors, opened, python
from node import Node, until

from strata.sandbox.launcher import joining, kernel

OWNER = "isolation"
SECRET = "FAKE_SECRET_5c1d8a"


@pytest.fixture(scope="module")
def cell(strata: Node) -> Iterator[Cell]:
    """A session on the host's /usr, as anybody gets it."""
    with opened(strata, OWNER, "host") as found:
        yield found


@pytest.fixture(scope="module")
def neighbour(strata: Node) -> Iterator[Cell]:
    """Another owner's session, with a secret in its files and in a process."""
    with opened(strata, f"{OWNER}2", "neighbour") as found:
        found.sh(f"for d in /root /tmp /dev/shm /; do echo {SECRET} >$d/{SECRET}; done")
        found.begin(f"X={SECRET} sleep 77001")
        yield found


# --- files


def test_the_hosts_files_are_not_there(cell: Cell) -> None:
    """/etc is the session's own; homes, state, logs, sockets of the host and of Strata lead nowhere."""
    paths = cell.strata.manager.paths
    hidden = [
        paths.runtime_dir,
        paths.state_dir,
        paths.config_dir,
        paths.socket("sandbox"),
        paths.identity_pub,
        __file__,
    ]
    hidden += [
        "/etc/shadow",
        "/etc/ssh",
        "/etc/machine-id",
        "/var/lib/strata",
        "/var/log/journal",
        "/run/systemd/private",
    ]
    hidden += [
        "/run/dbus/system_bus_socket",
        "/run/systemd/journal/socket",
        "/run/docker.sock",
        "/home/*/.ssh",
        "/sys/class",
    ]
    answer = cell.tells(f"answer = {{p: attempt(os.stat, p) for p in {[str(path) for path in hidden]}}}")
    assert set(answer.values()) == {"ENOENT"}
    assert cell.sh("cut -d: -f1 /etc/passwd | sort | tr '\\n' ' '")["stdout"] == "nobody root "


@pytest.mark.parametrize("top", ["/proc/1/root", "/proc/self/root", "/proc/1/cwd", "/", "/proc/self/fd/0"])
def test_no_way_up_leads_to_the_hosts_root(cell: Cell, top: str) -> None:
    """Above the session's / there is nothing, whichever link is taken."""
    hostname = Path("/proc/sys/kernel/hostname").read_text().strip()
    answer = cell.tells(
        f"""
up = "{top}" + "/.." * 12
try:
    answer = [os.listdir(up), open(up + "/etc/hostname").read().strip()]
except OSError as error:
    answer = [errno.errorcode[error.errno], ""]
"""
    )
    assert answer[0] == "ENOTDIR" or answer[1] == "strata" != hostname


def test_155_files_of_another_session_are_nowhere(cell: Cell, neighbour: Cell) -> None:
    """Not by name, not in the session's disk, not through /proc."""
    assert neighbour.sh(f"cat /root/{SECRET}")["stdout"] == f"{SECRET}\n"
    assert cell.sh(f"find / -name '{SECRET}*' 2>/dev/null; grep -rsl {SECRET} /root /tmp /dev/shm /run")["stdout"] == ""
    assert cell.sh("cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'")["stdout"].count("77001") == 0


def test_154_the_hosts_programs_cannot_be_changed(cell: Cell) -> None:
    answer = cell.tells(
        """
answer = [attempt(open, "/usr/" + one, "w") for one in ("x", "bin/x", "bin/env", "lib/x")]
env = "/usr/bin/env"
answer += [attempt(os.chmod, env, 0o777), attempt(os.utime, env), attempt(os.unlink, env),
           attempt(os.setxattr, env, "user.x", b"x"), attempt(os.link, env, "/root/env")]
"""
    )
    assert set(answer) == {"EROFS", "EXDEV"}


# --- processes


def test_only_the_sessions_processes_are_seen_and_nobody_elses_can_be_named(cell: Cell, neighbour: Cell) -> None:
    """Every number is tried; only what /proc shows can be signalled, and keepers and bubblewrap are not among it."""
    answer = cell.tells(
        """
seen = {int(name) for name in os.listdir("/proc") if name.isdigit()}
reached = {pid for pid in range(1, 70_000) if attempt(os.kill, pid, 0) != "ESRCH"}
names = [open(f"/proc/{pid}/comm").read().strip() for pid in seen]
answer = [len(reached - seen), names]
"""
    )
    assert answer[0] == 0
    assert [name for name in answer[1] if name.startswith(("strata", "bwrap", "systemd"))] == []


def test_killing_every_number_there_is_ends_neither_keepers_nor_the_session(cell: Cell, neighbour: Cell) -> None:
    """What waits for a program tells its end; the first process stays; the neighbour notices nothing."""
    victim = cell.begin("sleep 77002")
    until(lambda: any("77002" in one for one in cell.processes()), "it runs")
    outside = {pid for pid, place in cell.processes_outside().items() if "run-" not in place}
    cell.tells(
        """
import signal
attempt(os.kill, -1, 9)
me = os.getpid()
answer = len([attempt(os.kill, pid, number) for pid in range(1, 70_000) if pid != me for number in (9, 19)])
"""
    )
    assert cell.call("wait", id=victim)["signal"] == "SIGKILL", "its keeper lives and tells"
    first = {pid for pid, place in cell.processes_outside().items() if place == "/payload"}
    assert first
    assert first <= outside
    assert any("77001" in one for one in neighbour.processes())


def test_the_first_process_gives_nothing_away(cell: Cell) -> None:
    """Its descriptors are a pipe of its own and /dev/null, its environment a directory, its root is the session's."""
    answer = cell.tells(
        """
answer = {
    "fds": [os.readlink(f"/proc/1/fd/{fd}") for fd in sorted(os.listdir("/proc/1/fd"))],
    "environ": open("/proc/1/environ").read(),
    "root": sorted(os.listdir("/proc/1/root/run")),
    "mem": attempt(open, "/proc/1/mem", "wb"),
    "ptrace": [call("ptrace", 16, 1, 0, 0), call("process_vm_readv", 1, 0, 0, 0, 0, 0), call("pidfd_getfd", 0, 0, 0)],
}
"""
    )
    kinds = {re.sub(r"\d+", "", link) for link in answer["fds"]}
    assert kinds <= {"pipe:[]", "/dev/null"}
    assert (answer["environ"], answer["root"], answer["ptrace"]) == ("PWD=/root\0", ["strata"], ["EPERM"] * 3)


# --- networks


@contextlib.contextmanager
def listeners() -> Iterator[tuple[int, str, str]]:
    """On the host: a TCP port of its loopback, an abstract socket, and one with a name in /tmp."""
    name = f"strata-isolation-{os.getpid()}"
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as top:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        for address in (f"\0{name}", f"{top}/socket"):
            unix = stack.enter_context(socket.socket(socket.AF_UNIX))
            unix.bind(address)
            unix.listen()
        yield tcp.getsockname()[1], name, f"{top}/socket"


_CONNECT = """
answer = []
for family, address in ((2, ("127.0.0.1", {0})), (1, "\\0{1}"), (1, "{2}"), (10, ("::1", {0}))):
    answer.append(attempt(lambda: socket.socket(family).connect(address)))
answer.append(sorted(name for _, name in socket.if_nameindex()))
answer.append(attempt(lambda: socket.socket(2, 2).connect(("192.0.2.1", 9))))
"""


def test_159_an_isolated_session_reaches_no_network_and_no_abstract_socket(cell: Cell) -> None:
    """The default. Its loopback is its own, and there is no other interface."""
    with listeners() as where:
        answer = cell.tells(_CONNECT.format(*where))
    assert answer[:3] == ["ECONNREFUSED", "ECONNREFUSED", "ENOENT"]
    assert answer[4:] == [["lo"], "ENETUNREACH"]


def test_the_hosts_network_brings_its_ports_and_abstract_sockets_and_no_more(strata: Node) -> None:
    """What docs/security.md says of it: sockets with names stay out of reach, and nothing of it can be set."""
    with opened(strata, OWNER, "networked", network="host") as found, listeners() as where:
        answer = found.tells(_CONNECT.format(*where))
        assert answer[:3] == ["done", "done", "ENOENT"]
        sealed = found.tells(
            """
answer = [attempt(socket.socket, 2, 3, 1), attempt(socket.socket, 17, 3, 0), attempt(os.stat, "/run/dbus"),
          attempt(open, "/proc/sys/net/ipv4/ip_forward", "w"),
          attempt(lambda: socket.socket(2).bind(("127.0.0.1", 81)))]
"""
        )
        assert sealed == ["EPERM", "EAFNOSUPPORT", "ENOENT", "EACCES", "EACCES"]


def test_a_process_on_its_way_in_does_not_show_the_hosts_network(cell: Cell) -> None:
    """/proc/PID/net is the network of that process, and whoever sees it may read it: nothing may be seen inside
    before it is in the session's."""
    with listeners() as (_, name, _):
        code = f"""
while True:
    for pid in os.listdir("/proc"):
        try:
            if pid.isdigit() and "{name}" in open(f"/proc/{{pid}}/net/unix").read():
                print("seen", flush=True)
        except OSError:
            pass
"""
        argv = ["/usr/bin/python3", "-c", python(code)]
        watchers = [cell.call("run", argv=argv, background=True)["id"] for _ in range(2)]
        for _ in range(40):
            cell.run("/bin/true")
        for number in watchers:
            cell.call("kill", id=number)
    assert [cell.output(number) for number in watchers] == ["", ""]


# --- descriptors


def test_a_program_has_the_three_descriptors_it_was_given_and_no_more(cell: Cell) -> None:
    """By run, by exec and in a terminal; and none of the shell's is anything but its pipes."""
    show = "/usr/bin/python3 -c 'import os; print(sorted(map(int, os.listdir(\"/proc/self/fd\"))))'"
    assert cell.sh(f"exec {show}")["stdout"] == "[0, 1, 2, 3]\n"
    assert cell.call("exec", command=show)["output"] == "[0, 1, 2, 3]"
    with cell.attach(terminal="descriptors", command=f"exec {show}") as screen:
        screen.until(re.escape("[0, 1, 2, 3]"))
    links = cell.call("exec", command="for f in /proc/$$/fd/*; do readlink $f; done; true")["output"].split()
    assert [link for link in links if not re.fullmatch(r"(/.*)?/run/strata/.*|/dev/null|/proc/.*|pipe:.*", link)] == []


def test_nothing_in_the_scope_holds_a_descriptor_of_the_launcher_or_the_host(cell: Cell) -> None:
    """Bubblewrap, the first process, keepers, the worker of a watch, commands: pipes, sockets and the session's own."""
    running = cell.begin("sleep 77003")
    with cell.asked("watch", path="/root"), cell.attach(terminal="held"):
        until(lambda: any("77003" in one for one in cell.processes()), "it runs")
        worker = until(lambda: _named(cell, "strata-work"), "the worker of the watch is there")
        held = {pid: open_descriptors(pid) for pid in cell.processes_outside() if Path(f"/proc/{pid}").exists()}
    cell.call("kill", id=running)
    harmless = r"(pipe|socket|anon_inode|/memfd):.*|/dev/(null|pts/\d+)|(/.*)?/run/strata/.*|/(root)?"
    strange = {link for links in held.values() for link in links.values() if not re.fullmatch(harmless, link)}
    assert strange == set()
    assert worker in held


def _named(cell: Cell, name: str) -> int:
    for pid in cell.processes_outside():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                return pid
    return 0


def test_work_on_files_is_done_in_the_sessions_namespaces_without_a_privilege(cell: Cell) -> None:
    """A worker that a hostile file took over would have what a command has, but for the view of processes."""
    until(lambda: not _named(cell, "strata-work"), "the workers of other tests are gone")
    with cell.asked("watch", path="/root"):
        worker = until(lambda: _named(cell, "strata-work"), "the worker of the watch is there")
        first = _first(cell)
        until(lambda: _status(worker)["Seccomp"] == "2", "it is confined")
        for kind in ("user", "mnt", "net", "ipc", "uts", "cgroup"):
            assert os.readlink(f"/proc/{worker}/ns/{kind}") == os.readlink(f"/proc/{first}/ns/{kind}")
        status = _status(worker)
        assert {status[f"Cap{one}"] for one in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
        assert status["NoNewPrivs"] == "1"


def test_no_code_is_loaded_from_a_session_that_was_entered(cell: Cell) -> None:
    """Modules are files, and the files around are the sandbox's from then on."""
    first = _first(cell)

    def enter() -> None:
        joining.enter(os.pidfd_open(first), joining.EVERYTHING & ~kernel.NEWPID)
        importlib.import_module("this")

    status, said = box.ran(0, enter)
    assert status != 0
    assert "sys.meta_path is empty" in said


def _first(cell: Cell) -> int:
    places = cell.processes_outside().items()
    return next(pid for pid, place in places if place == "/payload" and _status(pid)["NSpid"].split()[-1] == "1")


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_a_descriptor_of_the_caller_gives_no_more_than_it_is(cell: Cell, tmp_path: Path) -> None:
    """A file that was opened for reading cannot be opened anew for writing, nor changed, nor what lies beside it."""
    given = tmp_path / "given"
    given.write_text("as it was")
    given.chmod(0o644)
    code = """
answer = [attempt(os.open, "/proc/self/fd/0", os.O_RDWR), attempt(os.write, 0, b"x"), attempt(os.ftruncate, 0, 0),
          attempt(os.fchmod, 0, 0o777), attempt(os.open, "/proc/self/fd/0/..", 0), attempt(os.open, "..", 0, dir_fd=0)]
print(json.dumps(answer), file=sys.stderr)
"""
    with given.open("rb") as file:
        argv = ["/usr/bin/python3", "-c", python(code)]
        said = cell.answer("run", [file.fileno()], argv=argv, descriptors=["stdin"])
    assert said["stderr"].strip() == '["EACCES", "EBADF", "EINVAL", "EPERM", "ENOTDIR", "ENOTDIR"]'
    assert given.read_text() == "as it was"


@pytest.mark.parametrize("flags", [os.O_RDONLY | os.O_DIRECTORY, os.O_PATH, os.O_PATH | os.O_DIRECTORY])
def test_a_directory_of_the_host_cannot_be_passed_in(cell: Cell, flags: int) -> None:
    """It would be a way to all of the host's tree."""
    fd = os.open("/", flags)
    try:
        reply = cell.ask("run", [fd], argv=["/bin/ls", "/proc/self/fd/0/etc"], descriptors=["stdin"])
    finally:
        os.close(fd)
    assert reply["error"]["code"] == 1
    assert "lead out of the session" in reply["error"]["message"]


def test_a_terminal_of_the_caller_is_not_typed_into_or_taken(cell: Cell) -> None:
    """A program on the caller's own terminal: no byte comes to its input, and it stays the caller's."""
    main, terminal = os.openpty()
    try:
        code = "import ctypes; l = ctypes.CDLL(None).ioctl; l.argtypes = ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p; print([l(0, h << 32 | n, b'x') for h in (0, 5) for n in (0x5412, 0x541c, 0x5437)])"  # noqa: E501
        said = cell.answer("run", [terminal], argv=["/usr/bin/python3", "-c", code], descriptors=["stdin"])
        assert said["stdout"] == f"{[-1] * 6}\n"
        os.set_blocking(terminal, False)
        with pytest.raises(BlockingIOError):
            os.read(terminal, 1)
    finally:
        os.close(main)
        os.close(terminal)


# --- ids and secrets

BAD = [
    "",
    ".",
    "..",
    "a/b",
    "a:b",
    "a b",
    "x@y",
    "i;touch${IFS}f;",
    "a,b",
    "it's",
    "a\0b",
    "x" * 300,
    "../../etc",
    "-a",
    "ä",
]


@pytest.mark.parametrize("bad", BAD)
def test_120_no_id_leads_anywhere(strata: Node, bad: str) -> None:
    """Refused by every method before it does anything; no file appears."""
    top = strata.manager.paths.state_dir / "sandbox/sessions"
    before = sorted(os.listdir(top))
    for owner, session in ((bad, "s"), (OWNER, bad)):
        for method in ("create", "close", "exec", "run", "describe", "put", "diff", "snapshot"):
            more = {"argv": ["x"], "command": "x", "path": "/x", "name": "x", "data": ""}
            assert strata.refusal(f"sandbox.{method}", {"owner": owner, "session": session, **more})[0] == 1
    assert sorted(os.listdir(top)) == before


def test_121_ids_that_look_alike_when_joined_are_different_sessions(strata: Node) -> None:
    with opened(strata, "i-a", "b") as one, opened(strata, "i", "a-b") as two:
        one.sh("echo one >/root/f")
        assert two.sh("cat /root/f")["exit_code"] == 1
        assert one.call("describe")["unit"] != two.call("describe")["unit"]
        assert one.directory != two.directory


def test_122_no_owner_is_a_name_of_strata_itself(strata: Node) -> None:
    """`.` is refused; `snapshots`, `rootfs` and the like are owners as any other and reach nothing of ours."""
    assert strata.refusal("sandbox.close", {"owner": ".", "session": "s"})[0] == 1
    for owner in ("rootfs", "stock", "snapshots", "sessions"):
        assert strata.refusal("sandbox.close", {"owner": owner, "session": "sessions"}) == (4, "session not found")


def test_157_no_variable_of_the_server_is_inside(strata: Node, disturbed: Node) -> None:
    """A secret in the environment of the room's unit is in no process of a session, whatever started it."""
    manager = strata.manager
    assert manager.run(["systemctl", "set-environment", f"FAKE_SECRET={SECRET}"]).returncode == 0
    try:
        strata.call("supervisor.svc.restart", {"name": "sandbox"})
        strata.settle()
        pid = strata.services()["sandbox"]["pid"]
        assert SECRET in manager.run(["cat", f"/proc/{pid}/environ"]).stdout, "it is planted"
        with opened(strata, OWNER, "planted") as found, found.attach(terminal="t"), found.asked("watch", path="/root"):
            number = found.begin("sleep 77004")
            assert SECRET not in found.sh("env; cat /proc/[0-9]*/environ")["output"]
            assert SECRET not in found.call("exec", command="env; cat /proc/[0-9]*/environ")["output"]
            for process in found.processes_outside():
                with contextlib.suppress(OSError):
                    if (image := os.readlink(f"/proc/{process}/exe")).rpartition("/")[2].startswith("python3"):
                        continue  # a keeper or worker: Strata's own, which nobody inside sees
                    assert SECRET.encode() not in Path(f"/proc/{process}/environ").read_bytes(), image
            found.call("kill", id=number)
    finally:
        manager.run(["systemctl", "unset-environment", "FAKE_SECRET"])
        strata.call("supervisor.svc.restart", {"name": "sandbox"})
