# SPDX-License-Identifier: MIT
"""Ways out of a session through the kernel, tried from inside: calls, devices, privileges, what all of it share."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest
from cell import Cell, opened
from node import Node, until

from strata.sandbox import syscalls

OWNER = "isolation"
x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the other entries of the kernel are x86's")


@pytest.fixture(scope="module")
def cell(strata: Node) -> Iterator[Cell]:
    """A session on the host's /usr, as anybody gets it."""
    with opened(strata, OWNER, "kernel") as found:
        yield found


# --- privileges


@pytest.mark.parametrize("way", ["run", "exec", "terminal", "payload"])
def test_158_nobody_inside_has_a_capability_or_can_get_one(cell: Cell, way: str) -> None:
    """Whatever starts it: no capability in any set, no new privileges, a filter, and a private range of users.

    Bubblewrap leaves the bounding set of the first process as it was; without new privileges it bounds nothing.
    """
    sets = "Cap(Inh|Prm|Eff|Amb)" if way == "payload" else "Cap(Inh|Prm|Eff|Amb|Bnd)"
    show = f"grep -hE '^({sets}|NoNewPrivs|Seccomp:)' /proc/self/status; cat /proc/self/uid_map"
    if way == "run":
        said = cell.sh(show)["stdout"]
    elif way == "exec":
        said = cell.call("exec", command=show)["output"]
    elif way == "payload":
        said = cell.sh(show.replace("self", "1"))["stdout"]
    else:
        with cell.attach(terminal="status", command=show) as screen:
            screen.rest()
            said = screen.text
    words = said.split()
    assert {words[at + 1] for at, word in enumerate(words) if word.startswith("Cap")} == {"0" * 16}
    assert words[words.index("NoNewPrivs:") + 1] == "1"
    assert words[words.index("Seccomp:") + 1] == "2"
    inside, outside, count = words[-3:]
    assert (inside, count) == ("0", "65536")
    assert int(outside) >= 0x7000_0000


def test_a_set_user_id_program_gains_nothing(cell: Cell) -> None:
    """The host's own, and one made inside that belongs to root."""
    answer = cell.tells(
        """
os.system("cp /usr/bin/python3 /root/suid; chown 0:0 /root/suid; chmod 6755 /root/suid")
code = "import os; print(os.geteuid(), [l for l in open('/proc/self/status') if l.startswith('CapEff')][0].split()[1])"
def as_other(path):
    os.setresgid(1000, 1000, 1000); os.setresuid(1000, 1000, 1000); os.execv(path, [path, "-c", code])
answer = attempt(os.setresuid, 1000, 1000, 1000), os.popen("/root/suid -c \\"" + code + "\\"").read().split()
"""
    )
    assert answer == ["EPERM", ["0", "0" * 16]], (
        "nobody becomes another user, and root inside stays without a capability"
    )
    for program in ("/usr/bin/su", "/usr/bin/mount", "/usr/bin/newuidmap", "/usr/bin/passwd"):
        if os.path.exists(program):
            said = cell.sh(f"{program} nobody /tmp </dev/null; grep CapEff /proc/self/status")
            assert said["stdout"].split()[-1] == "0" * 16, said


def test_no_mount_can_be_made_changed_or_undone(cell: Cell) -> None:
    assert (
        cell.tells(
            """
path, none = ctypes.create_string_buffer(b"/tmp"), ctypes.create_string_buffer(b"none")
at = ctypes.addressof
tmpfs = ctypes.create_string_buffer(b"tmpfs")
answer = [
    call("mount", at(none), at(path), at(tmpfs), 0, 0),
    call("mount", at(path), at(path), 0, 0x1000, 0),
    call("mount", 0, at(ctypes.create_string_buffer(b"/usr")), 0, 0x1020, 0),
    call("umount2", at(path), 2), call("pivot_root", at(path), at(path)), call("chroot", at(path)),
    call("open_tree", -100, at(path), 1), call("fsopen", at(tmpfs), 0),
    call("move_mount", -100, at(path), -100, at(path), 0), call("mount_setattr", -100, at(path), 0, 0, 0),
]
"""
        )
        == ["EPERM"] * 10
    )


def test_no_namespace_can_be_made_or_entered(cell: Cell) -> None:
    """Neither a user namespace, which would give all capabilities in it, nor any other; the kernel's own count forbids
    the first even without the filter."""
    answer = cell.tells(
        """
flags = [0x10000000, 0x20000, 0x20000000, 0x40000000, 0x8000000, 0x4000000, 0x2000000, 0x80]
answer = {
    "unshare": [call("unshare", one) for one in flags],
    "clone": [call("clone", one | 17, 0, 0, 0, 0) for one in flags if one != 0x80],
    "clone3": call("clone3", 0, 0),
    "setns": [call("setns", os.open(f"/proc/1/ns/{kind}", os.O_RDONLY), 0) for kind in ("user", "mnt", "pid", "net")],
    "count": open("/proc/sys/user/max_user_namespaces").read().strip(),
    "raise": attempt(open, "/proc/sys/user/max_user_namespaces", "w"),
}
"""
    )
    assert set(answer["unshare"] + answer["clone"] + answer["setns"]) == {"EPERM"}
    assert (answer["clone3"], answer["count"], answer["raise"]) == ("ENOSYS", "0", "EACCES")


def test_devices_are_those_that_harm_nobody(cell: Cell) -> None:
    answer = cell.tells(
        """
import stat
answer = {
    "there": sorted(name for name in os.listdir("/dev") if not stat.S_ISLNK(os.lstat("/dev/" + name).st_mode)),
    "made": [attempt(os.mknod, f"{where}/node", kind | 0o666, os.makedev(*number))
             for where in ("/dev", "/root", "/tmp", "/dev/shm", "/run")
             for kind, number in ((stat.S_IFCHR, (1, 1)), (stat.S_IFBLK, (7, 0)), (stat.S_IFCHR, (10, 229)))],
}
"""
    )
    assert answer["there"] == ["full", "null", "pts", "random", "shm", "tty", "urandom", "zero"]
    assert set(answer["made"]) == {"EPERM"}


# --- calls


def test_calls_that_are_denied_or_hidden_are_so_inside(cell: Cell) -> None:
    """Each one of the tables is made: mounts, tracing, keyrings, handles, bpf, io_uring, aio, clone3 and the rest."""
    answer = cell.tells("answer = {name: call(name, -1, -1, -1, -1, -1, -1) for name in NUMBERS}")
    for groups, wanted in ((syscalls.DENIED, "EPERM"), (syscalls.HIDDEN, "ENOSYS")):
        names = {name for group in groups for name in group.calls} & answer.keys()
        assert {name for name in names if answer[name] != wanted} == set()
        assert len(names) > 10


@x86
def test_calls_by_the_32_bit_and_x32_entries_end_the_process(cell: Cell) -> None:
    by_interrupt = """
page = mmap.mmap(-1, 4096, prot=7)
page.write(b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3")
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""
    assert cell.dies(by_interrupt) == "SIGSYS"
    assert cell.dies("libc.syscall(ctypes.c_long(0x40000000 | 39))") == "SIGSYS"


def test_sockets_reach_neither_the_hypervisor_nor_the_kernels_own_services(cell: Cell) -> None:
    """AF_VSOCK, packets, the kernel's crypto, netlink but for routes."""
    answer = cell.tells(
        """
strange = [(40, 1, 0), (17, 3, 0), (38, 5, 0), (31, 3, 0), (29, 3, 1), (30, 5, 0), (44, 3, 0)]
netlink = [(16, 3, protocol) for protocol in (9, 16, 6)]
answer = [attempt(socket.socket, *one) for one in strange + netlink]
"""
    )
    assert answer == ["EAFNOSUPPORT"] * 7 + ["EPROTONOSUPPORT"] * 3


def test_keyrings_of_the_host_are_out_of_reach(cell: Cell) -> None:
    """No call on keys, and none is shown in /proc/keys."""
    answer = cell.tells(
        """
answer = [call("keyctl", 0, -3, 1), call("keyctl", 1, 0), call("keyctl", 6, -4), call("add_key", 0, 0, 0, 0, -3),
          call("request_key", 0, 0, 0, 0)]
try:
    answer.append(open("/proc/keys").read())
except OSError:
    answer.append("")
"""
    )
    assert answer == ["EPERM"] * 5 + [""]


@pytest.mark.parametrize("high", [0, 1, 0x7FFF_FFFF])
def test_nothing_is_typed_into_ones_terminal(cell: Cell, high: int) -> None:
    """TIOCSTI and the paste of TIOCLINUX on the controlling terminal, also with bits set that the kernel ignores."""
    code = f"import ctypes; l = ctypes.CDLL(None, use_errno=True).ioctl; l.argtypes = ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p; print('got', [(l(0, {high} << 32 | one, b'x'), ctypes.get_errno()) for one in (0x5412, 0x541c, 0x5423)])"  # noqa: E501
    with cell.attach(terminal=f"inject-{high}", command=f'/usr/bin/python3 -c "{code}"', rows=24, cols=200) as screen:
        screen.until(r"got \[\(-1, 1\), \(-1, 1\), \(-1, 1\)\]")


# --- what the kernel shows


def test_nothing_of_the_machine_can_be_written_in_proc(cell: Cell) -> None:
    """What can is the session's own: limits of its IPC and process namespaces, and alarms on pressure."""
    answer = cell.tells(
        """
answer = []
for top, directories, names in os.walk("/proc"):
    if top == "/proc":
        directories[:] = [one for one in directories if not one.isdigit() and one not in ("self", "thread-self")]
    answer += [path for path in (f"{top}/{name}" for name in names)
               if attempt(lambda: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))) == "done"]
"""
    )
    own = ("fs/mqueue/", "kernel/msg", "kernel/shm", "kernel/sem", "kernel/auto_msgmni", "kernel/ns_last_pid")
    # pid_max is of the process namespace since Linux 6.14, and the host's root's before.
    harmless = (*(f"/proc/sys/{one}" for one in own), "/proc/pressure/", "/proc/sys/kernel/pid_max")
    assert [path for path in answer if not path.startswith(harmless)] == []


def test_settings_of_namespaces_are_not_the_machines(cell: Cell) -> None:
    """What a session may write there changes nothing outside."""
    here = {name: _host(name) for name in ("kernel/shmmax", "kernel/msgmni", "fs/mqueue/queues_max")}
    cell.sh("for n in kernel/shmmax kernel/msgmni fs/mqueue/queues_max; do echo 77 >/proc/sys/$n; done; true")
    assert {name: _host(name) for name in here} == here


def _host(name: str) -> str:
    with open(f"/proc/sys/{name}") as file:
        return file.read()


def test_memory_ports_and_the_kernels_log_cannot_be_read(cell: Cell) -> None:
    paths = ["/proc/kcore", "/proc/kmsg", "/proc/kpageflags", "/dev/mem", "/dev/kmsg", "/dev/port", "/proc/vmallocinfo"]
    paths += ["/proc/sysrq-trigger", "/sys/kernel", "/sys/fs/cgroup/cgroup.procs", "/proc/1/mem", "/proc/timer_list"]
    answer = cell.tells(f"answer = {{path: reading(path) for path in {paths}}}")
    assert set(answer.values()) <= {"ENOENT", "EACCES", "EPERM", "EIO", "EISDIR"}
    addresses = cell.sh("cut -d' ' -f1 /proc/kallsyms | sort -u | head -3")["stdout"].split()
    assert addresses in ([], ["0" * 16]), "the kernel's addresses are not shown"


def test_no_cgroup_can_be_seen_or_left(cell: Cell) -> None:
    answer = cell.tells(
        """
answer = {
    "mounted": [line for line in open("/proc/self/mountinfo") if " - cgroup" in line],
    "files": os.popen("find / -xdev -name cgroup.procs 2>/dev/null; ls -d /sys/fs/cgroup 2>/dev/null").read(),
}
"""
    )
    assert answer == {"mounted": [], "files": ""}


@pytest.mark.parametrize("way", ["run", "exec", "terminal", "watch"])
def test_whatever_comes_into_a_session_is_bound_by_its_scope(cell: Cell, way: str) -> None:
    """In every hierarchy that counts or limits: cgroup2, and where they are v1, memory, tasks and cpu. It comes into
    one after the other, and runs when it is in all."""
    with contextlib.ExitStack() as stack:
        if way == "run":
            stack.callback(cell.call, "kill", id=cell.begin("sleep 60"))
        elif way == "terminal":
            stack.enter_context(cell.attach(terminal="bound", command="/bin/sleep 60"))
            stack.callback(cell.call, "hangup", terminal="bound")
        elif way == "watch":
            stack.enter_context(cell.asked("watch", path="/root"))
        else:
            cell.call("exec", command="sleep 61 & echo")
        until(lambda: len(cell.processes_outside()) > 2, "something runs")
        until(lambda: not _unbound(cell), "all are bound")


def _unbound(cell: Cell) -> list[str]:
    """Where processes of a session are that are in its scope and in another place too."""
    lines = [line for pid in cell.processes_outside() for line in _lines(f"/proc/{pid}/cgroup")]
    bounds = [line for line in lines if set(line.split(":")[1].split(",")) & {"", "memory", "pids", "cpu"}]
    return [line for line in bounds if f"/{cell.scope}" not in line]


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return []


# --- what the machine has once


def test_a_session_does_not_use_up_the_machines_inotify_instances(cell: Cell) -> None:
    """They are counted with the owner of a user namespace too: were that root, systemd would have none left."""
    number = cell.call(
        "run",
        argv=["/usr/bin/python3", "-c", "import ctypes, time\nl = ctypes.CDLL(None)\nn = 0\n"
              "while l.inotify_init1(0) >= 0: n += 1\nprint(n, flush=True); time.sleep(60)"],
        background=True,
    )["id"]  # fmt: skip
    until(lambda: cell.output(number), "it has all it can get")
    libc = ctypes.CDLL(None, use_errno=True)
    mine = [libc.inotify_init1(os.O_CLOEXEC) for _ in range(8)]
    cell.call("kill", id=number)
    for fd in mine:
        if fd >= 0:
            os.close(fd)
    assert -1 not in mine, "the host's root has none left"
    assert 0 < int(cell.output(number)) <= 64


def test_a_session_leaves_terminals_for_the_others(cell: Cell) -> None:
    """kernel.pty.max is for all; each session has a share."""
    assert cell.tells(
        """
answer = 0
while attempt(lambda: os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)) == "done":
    answer += 1
"""
    ) in range(16, 65)  # fmt: skip
