# SPDX-License-Identifier: MIT
"""Attempts to break out that published holes of other runtimes have shown, made from inside a real session."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from pathlib import Path

import pytest
from cell import Cell, opened, python
from node import Node, until
from unwritten import stays_unwritten


def _host(path: str) -> str:
    return Path(path).read_text()


# --- programs and descriptors of the host's


def test_the_program_that_starts_commands_cannot_be_rewritten(cell: Cell) -> None:
    """CVE-2019-5736: a command that is /proc/self/exe, by name or behind #!, is the interpreter that starts it."""
    own = os.path.realpath(sys.executable)
    before = hashlib.sha256(Path(own).read_bytes()).digest()
    code = """
exe = "/proc/self/exe"
held = os.open(exe, os.O_PATH)
again = f"/proc/self/fd/{held}"
answer = [attempt(os.open, path, flags) for path in (exe, again) for flags in (os.O_WRONLY, os.O_RDWR, 0o1001)]
answer += [attempt(os.truncate, exe, 0), attempt(os.chmod, exe, 0o777), attempt(os.utime, exe),
           attempt(os.setxattr, exe, "user.x", b"x"), attempt(os.link, exe, "/root/exe")]
print(json.dumps([os.readlink(exe), answer]))
"""
    cell.call("put", path="by-name", data=f"#!/proc/self/exe\n{python(code)}", mode="0755")
    for argv in (["/proc/self/exe", "-c", python(code)], ["/root/by-name"]):
        said = cell.run(*argv)
        assert said["exit_code"] == 0, said
        assert own in said["stdout"], "it was the interpreter indeed"
        assert "done" not in said["stdout"]
    assert hashlib.sha256(Path(own).read_bytes()).digest() == before


def test_no_working_directory_leads_out(cell: Cell) -> None:
    """CVE-2024-21626: a descriptor that the runtime left open, taken as the command's directory."""
    names = [f"/proc/self/fd/{number}" for number in (*range(12), 255, 256, 257)]
    for cwd in (*names, "/proc/self/cwd", "/proc/1/cwd", "/proc/self/root", "/proc/1/root", "/proc/thread-self/root"):
        said = cell.run("/bin/cat", "../../../../../../../../etc/hostname", cwd=cwd)
        assert said["stdout"] in ("", "strata\n"), cwd


def test_what_is_on_its_way_in_shows_nothing_of_the_host(cell: Cell) -> None:
    """Before it becomes the command it is a process of Strata's that can be seen: its root, directory, program,
    what its descriptors are, memory and environment cannot be looked at."""
    watch = """
import time
end, found = time.monotonic() + 2.5, set()
def opened(path):
    return [os.readlink(f"{path}/{number}") for number in os.listdir(path)]
def is_command(pid):  # in the middle of its exec it has its old name and is the command already; or it has ended
    try:
        return "python" not in os.readlink(f"/proc/{pid}/exe")
    except OSError as error:
        return error.errno not in (1, 13)
while time.monotonic() < end:
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or pid in ("1", str(os.getpid())):
            continue
        try:
            if not open(f"/proc/{pid}/comm").read().startswith("strata"):
                continue
        except OSError:
            continue
        found.add("seen")
        for name, look in (("exe", os.readlink), ("root", os.readlink), ("cwd", os.readlink), ("fd", opened),
                           ("environ", reading), ("maps", reading), ("mem", reading), ("root/etc", os.listdir)):
            try:
                told = look(f"/proc/{pid}/{name}")
            except OSError:
                continue
            if told not in ("EACCES", "EPERM", "ENOENT", "ESRCH") and not is_command(pid):
                found.add(f"{name} {told}")
print(json.dumps(sorted(found)))
"""
    number = cell.call("run", argv=["/usr/bin/python3", "-c", python(watch)], background=True)["id"]
    while cell.call("wait", id=number, wait_ms=1)["state"] == "running":
        cell.run("/bin/true")
    assert cell.output(number).strip() in ("[]", '["seen"]')


def test_devices_swapped_for_links_fool_nobody(strata: Node) -> None:
    """CVE-2025-31133, CVE-2025-52565, CVE-2025-52881: /dev/null, ptmx, a terminal or /proc replaced by a link to what
    must not be written, while commands, terminals and files arrive."""
    before = _host("/proc/sys/kernel/core_pattern")
    with opened(strata, "audit", "devices") as hostile:
        swap = "rm -f /dev/$1; ln -s $2 /dev/$1"
        for name in ("null", "ptmx", "tty", "pts/ptmx", "console", "fd", "stdin"):
            for target in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/kernel/modprobe"):
                hostile.run("/bin/sh", "-c", swap, "sh", name, target)
                hostile.ask("exec", command="echo '|/root/x'", timeout_ms=1000)
        with hostile.asked("attach", terminal="swapped", command="/bin/echo hello") as connection:
            assert not connection.reply()["ok"], "it takes a descriptor, and none came"
        hostile.ask("put", path="/dev/null", data="|/root/x")
        hostile.ask("get", path="/dev/null")
        hostile.ask("export", path="/dev")
        assert hostile.run("/bin/echo", "still")["stdout"] == "still\n"
    assert _host("/proc/sys/kernel/core_pattern") == before


# --- the kernel


def test_helpers_that_the_kernel_starts_as_root_cannot_be_named(cell: Cell) -> None:
    """core_pattern, modprobe, uevent_helper, release_agent, binfmt_misc, poweroff_cmd: each runs a program outside."""
    answer = cell.tells(
        """
paths = ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug",
         "/proc/sys/kernel/poweroff_cmd", "/proc/sys/kernel/usermodehelper/bset", "/sys/kernel/uevent_helper",
         "/sys/fs/cgroup/release_agent", "/proc/sys/fs/binfmt_misc/register", "/proc/sysrq-trigger",
         "/proc/sys/kernel/sysrq", "/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/yama/ptrace_scope",
         "/proc/sys/kernel/unprivileged_bpf_disabled", "/proc/sys/user/max_user_namespaces", "/proc/self/setgroups",
         "/proc/self/uid_map", "/proc/1/oom_adj", "/proc/self/loginuid"]
answer = {}
for path in paths:
    try:
        with open(path, "w") as file: file.write("0")
        answer[path] = "done"
    except OSError as error:
        answer[path] = errno.errorcode[error.errno]
"""
    )
    # Of the session's own: it may be made the first to go, and its processes may have a number for the audit.
    harmless = {"/proc/1/oom_adj", "/proc/self/loginuid"}
    assert {path for path, told in answer.items() if told == "done"} <= harmless, answer


def test_a_file_system_is_not_ruled_by_who_has_a_file_of_it(cell: Cell) -> None:
    """Freezing, shutting down, resizing, immutable files, privileged attributes: of the session's disk and of /usr."""
    answer = cell.tells(
        """
import fcntl, struct
open("/root/ruled", "w").write("x")
calls = {"FIFREEZE": 0xC0045877, "FITHAW": 0xC0045878, "FITRIM": 0xC0185879, "SHUTDOWN": 0x8004587D,
         "RESIZE": 0x40086610, "SWAP_BOOT": 0x6611, "ADD_KEY": 0xC0506617, "IMMUTABLE": 0x40086602}
answer = {}
for path in ("/root", "/root/ruled", "/usr", "/usr/bin/env", "/tmp"):
    fd = os.open(path, os.O_RDONLY)
    for name, number in calls.items():
        data = struct.pack("l", 0x10 | 0x20) if name == "IMMUTABLE" else bytes(96)
        answer[f"{path} {name}"] = attempt(fcntl.ioctl, fd, number, data)
attributes = ["trusted.overlay.opaque", "trusted.x", "security.capability", "security.ima"]
data = struct.pack("<5I", 0x02000001, 0xFFFFFFFF, 0, 0xFFFFFFFF, 0)
for name in attributes:
    answer[name] = attempt(os.setxattr, "/root/ruled", name, data)
os.unlink("/root/ruled")
"""
    )
    assert {what for what, told in answer.items() if told == "done"} == set()


def test_nothing_of_ones_own_confinement_is_undone(cell: Cell) -> None:
    """prctl(2) and friends: securebits, new privileges, the filter, dumpability of others, memory maps."""
    answer = cell.tells(
        """
prctl = lambda *a: attempt(lambda: (_ for _ in ()).throw(OSError(ctypes.get_errno(), "")) if libc.prctl(*a) < 0 else 0)
answer = {
    "securebits": prctl(28, 0), "privileges": prctl(38, 0, 0, 0, 0), "ambient": prctl(47, 2, 21, 0, 0),
    "bounding": prctl(23, 21), "mm": prctl(35, 13, 3, 0, 0),
    "limits": attempt(os.nice, -5),
    "nice": attempt(os.setpriority, 0, 0, -20), "realtime": attempt(os.sched_setscheduler, 0, 1, os.sched_param(1)),
    "groups": attempt(os.setgroups, [0, 5]), "ids": attempt(os.setresuid, 1, 1, 1),
}
"""
    )
    assert answer.pop("bounding") == "done", "asking is free"
    assert set(answer.values()) <= {"EPERM", "EINVAL", "EACCES"}, answer


def test_no_namespace_is_entered_by_a_descriptor_of_a_process(cell: Cell) -> None:
    """setns(2) with a pidfd, pidfd_getfd(2), and handles of mounts."""
    answer = cell.tells(
        """
first = os.pidfd_open(1)
answer = [call("setns", first, flag) for flag in (0x10000000, 0x20000, 0x20000000, 0x7e020000)]
answer += [call("pidfd_getfd", first, number, 0) for number in range(4)]
answer += [call("open_by_handle_at", -100, 0, 0), call("name_to_handle_at", -100, 0, 0, 0, 0)]
"""
    )
    assert set(answer) == {"EPERM"}


def test_nobody_has_the_machines_disks_written_out(cell: Cell) -> None:
    """sync(2) is about all file systems there are, syncfs(2) about that of any descriptor, such as one of /usr."""
    flush = """
libc.sync()
paths = ("/usr", "/usr/bin/env", "/root", "/tmp", "/proc/self/exe")
answer = [attempt(os.close, fd) for path in paths if libc.syncfs(fd := os.open(path, os.O_RDONLY)) == 0]
file = os.open("/root/own", os.O_CREAT | os.O_WRONLY)
answer += [attempt(os.write, file, b"x"), attempt(os.fsync, file), attempt(os.fdatasync, file)]
"""
    answers = []
    assert stays_unwritten(cell.directory, lambda: answers.append(cell.tells(flush)))
    assert answers[-1] == ["done"] * 8, "programs are told that it is done; files of one's own are written out"


# --- processes


def test_no_child_of_stratas_own_processes_can_be_made(cell: Cell) -> None:
    """clone(2) with CLONE_PARENT makes a sibling: a child of the process of Strata's outside that waits for a run, and
    of a shell it is the launcher."""
    code = """
print([(libc.syscall(NUMBERS["clone"], 0x8000 | 17, 0, 0, 0, 0), ctypes.get_errno()) for _ in range(3)], flush=True)
"""
    assert cell.run("/usr/bin/python3", "-c", python(code))["stdout"] == f"{[(-1, errno.EPERM)] * 3}\n"
    cell.call("put", path="sibling", data=python(code), mode="0644")
    assert cell.call("exec", command="exec python3 sibling")["stdout"] == f"{[(-1, errno.EPERM)] * 3}\n"


def _stat(pid: int) -> str:
    try:
        return "zombie" if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z" else ""
    except OSError:
        return ""


def test_a_thousand_orphans_leave_no_zombie(cell: Cell) -> None:
    """The first process reaps what lost its parents: nothing of it counts as a task any more."""
    code = """
for _ in range(1000):
    if os.fork() == 0:
        if os.fork() == 0: os._exit(0)
        os._exit(0)
    os.wait()
print("left", flush=True)
"""
    assert cell.run("/usr/bin/python3", "-c", python(code))["stdout"] == "left\n"
    until(lambda: all(not _stat(pid) for pid in cell.processes_outside()), "no zombie is left")
    assert cell.call("usage")["tasks"] < 10


@pytest.mark.parametrize("size", ["many", "long"])
def test_more_arguments_and_variables_than_the_kernel_takes_are_told(cell: Cell, size: str) -> None:
    """E2BIG, as thousands of rules that became arguments have caused elsewhere: refused or told, and it goes on."""
    many = size == "many"
    argv = ["/bin/true", *(["x"] * 200_000 if many else ["x" * 140_000])]
    env = {f"V{number}": "x" for number in range(20_000)} if many else {"V": "x" * 140_000}
    for wanted in ({"argv": argv}, {"argv": ["/bin/true"], "env": env}):
        reply = cell.ask("run", **wanted)
        said = reply.get("result") or reply["error"]
        assert said.get("exit_code") in (0, 126) or said["code"] == 1, said
    assert cell.run("/bin/echo", "still")["stdout"] == "still\n"
