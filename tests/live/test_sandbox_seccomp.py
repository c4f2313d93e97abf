# SPDX-License-Identifier: MIT
"""The sandbox's filter in the real kernel: every denied call is made, and ordinary programs run.

The calls are made by a child that is root where the tests are, and has nothing but the filter around it: what is
refused here is refused by the filter alone. The kernel would refuse the arguments too, but with another error.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from unwritten import stays_unwritten

from strata.sandbox import seccomp, syscalls

MACHINE = platform.machine()
if MACHINE not in seccomp.MACHINES:
    pytest.skip(f"sandboxes run on {', '.join(seccomp.MACHINES)}, not on {MACHINE}", allow_module_level=True)

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2  # prctl(2), <linux/seccomp.h>
_HIGH = 1 << 32


class _Program(ctypes.Structure):  # struct sock_fprog
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def call(number: int, *arguments: int) -> int:
    """Make a system call; 0, or the errno."""
    answer = _libc.syscall(ctypes.c_long(number), *(ctypes.c_long(value) for value in arguments))
    return ctypes.get_errno() if answer == -1 else 0


def filtered(work: Callable[[], int]) -> int:
    """What `work` returns in a child under the filter, or the negative number of the signal that ended it."""
    program = seccomp.program()
    child = os.fork()
    if child == 0:
        code = 255
        try:
            os.setsid()
            _install(program)
            code = work()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _install(program: bytes) -> None:
    wanted = _Program(len(program) // 8, program)
    assert _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert _libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(wanted), 0, 0) == 0


def number(name: str) -> int:
    return seccomp.number_of(name, MACHINE)


def here(groups: tuple[syscalls.Group, ...]) -> list[str]:
    return [name for group in groups for name in group.calls if number(name) >= 0]


@pytest.mark.parametrize("name", here(syscalls.DENIED))
def test_a_denied_call_is_not_permitted(name: str) -> None:
    """EPERM, where the kernel would have said that the arguments make no sense."""
    assert filtered(lambda: call(number(name), *([-1] * 6))) == errno.EPERM


@pytest.mark.parametrize("name", here(syscalls.HIDDEN))
def test_a_hidden_call_seems_not_to_be_there(name: str) -> None:
    """ENOSYS, so that libraries use what they used before."""
    assert filtered(lambda: call(number(name), *([-1] * 6))) == errno.ENOSYS


@pytest.mark.parametrize("name", here(syscalls.PRETENDED))
def test_a_pretended_call_succeeds_and_does_nothing(name: str, tmp_path: Path) -> None:
    """No argument is wrong for it, and what was not on the disk still is not."""
    assert filtered(lambda: call(number(name), -1)) == 0
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        assert stays_unwritten(tmp_path, lambda: filtered(lambda: call(number(name), fd)))
    finally:
        os.close(fd)


@pytest.mark.parametrize("unknown", [470, 512, 547, 5000, 0x3FFF_FFFF, -1])
def test_a_call_that_no_table_names_seems_not_to_be_there(unknown: int) -> None:
    """Numbers of the future, and of no time."""
    assert filtered(lambda: call(unknown, 0, 0, 0, 0, 0, 0)) == errno.ENOSYS


@pytest.mark.parametrize("flag", [1 << bit for bit in range(32) if syscalls.CLONE_NEW & 1 << bit])
def test_clone_makes_no_namespace(flag: int) -> None:
    """Not even for root, with or without rubbish in the upper half of the register."""
    assert filtered(lambda: call(number("clone"), flag | signal.SIGCHLD, 0, 0, 0, 0)) == errno.EPERM
    assert filtered(lambda: call(number("clone"), _HIGH | flag | signal.SIGCHLD, 0, 0, 0, 0)) == errno.EPERM


def _family(family: int, kind: int = socket.SOCK_DGRAM, protocol: int = 0) -> int:
    return filtered(lambda: call(number("socket"), family, kind, protocol))


@pytest.mark.parametrize(
    "family", ["AF_VSOCK", "AF_PACKET", "AF_ALG", "AF_BLUETOOTH", "AF_CAN", "AF_TIPC", "AF_QIPCRTR"]
)
def test_a_strange_socket_family_is_not_supported(family: str) -> None:
    """As on a machine without it."""
    assert _family(getattr(socket, family)) == errno.EAFNOSUPPORT
    assert _family(_HIGH | getattr(socket, family)) == errno.EAFNOSUPPORT


def test_families_that_programs_use_work() -> None:
    """Unix, both internets and netlink for routes; other netlink does not."""
    for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
        assert _family(family) == 0
    for protocol in (socket.NETLINK_NFLOG, socket.NETLINK_XFRM, 9, 16):  # and audit, generic
        assert _family(socket.AF_NETLINK, socket.SOCK_RAW, protocol) == errno.EPROTONOSUPPORT


def test_socketpair_is_for_unix_only() -> None:
    """AF_TIPC has pairs as well."""
    pair = (ctypes.c_int * 2)()
    at = ctypes.addressof(pair)
    assert filtered(lambda: call(number("socketpair"), socket.AF_TIPC, socket.SOCK_STREAM, 0, at)) == errno.EAFNOSUPPORT
    assert filtered(lambda: call(number("socketpair"), socket.AF_UNIX, socket.SOCK_STREAM, 0, at)) == 0


@pytest.mark.parametrize("high", [0, 1, 0x7FFF_FFFF])
def test_nothing_is_typed_into_a_terminal(high: int) -> None:
    """TIOCSTI on a terminal of one's own, which the kernel allows: the byte must not arrive."""
    main, terminal = os.openpty()
    try:
        byte = ctypes.create_string_buffer(b"x")
        request = high << 32 | syscalls.TIOCSTI

        def inject() -> int:
            fcntl.ioctl(terminal, 0x540E, 0)  # TIOCSCTTY: it is this session's own
            return call(number("ioctl"), terminal, request, ctypes.addressof(byte))

        assert filtered(inject) == errno.EPERM
    finally:
        os.close(main)
        os.close(terminal)


@pytest.mark.parametrize("request_number", [syscalls.TIOCLINUX, syscalls.TIOCSETD])
def test_other_ways_into_a_terminal_are_closed(request_number: int) -> None:
    """Paste, and line disciplines; asking for the window's size works."""
    main, terminal = os.openpty()
    space = ctypes.create_string_buffer(64)
    try:
        at = ctypes.addressof(space)
        assert filtered(lambda: call(number("ioctl"), terminal, request_number, at)) == errno.EPERM
        assert filtered(lambda: call(number("ioctl"), terminal, 0x5413, at)) == 0  # TIOCGWINSZ
    finally:
        os.close(main)
        os.close(terminal)


def test_personality_stays_harmless() -> None:
    """Asking and the plain ones; address randomisation stays on and data is not run."""
    personality = number("personality")
    assert filtered(lambda: call(personality, 0xFFFF_FFFF)) == 0
    assert filtered(lambda: call(personality, 0)) == 0
    assert filtered(lambda: call(personality, 0x0040000)) == errno.EPERM
    assert filtered(lambda: call(personality, 0x0400000)) == errno.EPERM


@pytest.mark.skipif(MACHINE != "x86_64", reason="the 32-bit entry by int 0x80 is x86's")
def test_the_32_bit_entry_ends_the_process() -> None:
    """getpid by `int 0x80`, whose number is that of another call in 64 bits."""
    assert filtered(_getpid_in_32_bits) == -signal.SIGSYS


def _getpid_in_32_bits() -> int:
    code = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"  # mov eax, 20; int 0x80; ret
    with mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as page:
        page.write(code)
        ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    return 0


@pytest.mark.skipif(MACHINE != "x86_64", reason="x32 is x86_64's")
def test_x32_calls_end_the_process() -> None:
    """getpid, with x32's bit."""
    assert filtered(lambda: call(0x4000_0000 | 39)) == -signal.SIGSYS


def test_a_filter_is_passed_on_and_cannot_be_taken_off() -> None:
    """A program that is started has it too, and one more filter that allows all changes nothing."""
    allow_all = bytes.fromhex("060000000000ff7f")

    def under_two() -> int:
        _install(allow_all)
        return call(number("unshare"), 0x1000_0000)

    assert filtered(under_two) == errno.EPERM
    assert sandboxed("grep", "-E", "^(Seccomp|NoNewPrivs):", "/proc/self/status").split() == [
        "NoNewPrivs:",
        "1",
        "Seccomp:",
        "2",
    ]


def sandboxed(*argv: str, cwd: Path | None = None) -> str:
    """Output of a program in namespaces of its own under the filter, as bwrap puts it on. It must end well."""
    if shutil.which("bwrap") is None:
        pytest.skip("needs bwrap (`apt-get install bubblewrap`)")
    if shutil.which(argv[0]) is None:
        pytest.skip(f"needs {argv[0]}")
    fd = os.memfd_create("filter")
    try:
        os.write(fd, seccomp.program())
        os.lseek(fd, 0, os.SEEK_SET)
        bwrap = [
            "bwrap",
            "--ro-bind",
            "/",
            "/",
            "--dev",
            "/dev",
            "--proc",
            "/proc",
            "--unshare-all",
            "--cap-drop",
            "ALL",
        ]
        place = ["--bind", str(cwd), str(cwd), "--chdir", str(cwd)] if cwd else []
        done = subprocess.run(
            [*bwrap, *place, "--seccomp", str(fd), "--", *argv], pass_fds=(fd,), capture_output=True, text=True
        )
    finally:
        os.close(fd)
    assert done.returncode == 0, done.stderr
    return done.stdout


THREADS = """
import multiprocessing, subprocess, threading, asyncio, tempfile, socket, time
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool: assert sum(pool.map(int, "1234")) == 10
with multiprocessing.get_context("fork").Pool(2) as pool: assert pool.map(abs, [-1, -2]) == [1, 2]
assert subprocess.run(["sh", "-c", "exit 3"], close_fds=True).returncode == 3
async def talk():
    child = await asyncio.create_subprocess_exec("echo", "said", stdout=-1)
    return (await child.communicate())[0]
assert asyncio.run(talk()) == b"said\\n"
here, there = socket.socketpair(); here.send(b"x"); assert there.recv(1) == b"x"
assert socket.if_nameindex()
print("well")
"""
ORDINARY = {
    "bash": ("bash", "-c", "set -e; x=$(echo well); (exit 0); sleep 0.01 & wait; cat <(echo $x)"),
    "pipes": ("bash", "-c", "seq 1000 | sort -rn | head -1 | sed s/1000/well/; [ ${PIPESTATUS[0]} -lt 142 ]"),
    "python": ("python3", "-c", THREADS),
    "sort": (
        "bash",
        "-c",
        "set -o pipefail; export TMPDIR=.; seq 9000 | sort -R | sort --parallel=4 -S 1M -n | tail -1 | sed s/9.*/well/",
    ),
    "tar": ("bash", "-c", "mkdir t; echo well > t/f; chmod 640 t/f; tar czf t.tgz t; rm -r t; tar xzf t.tgz; cat t/f"),
    "coreutils": (
        "bash",
        "-c",
        "set -e; mkfifo p; echo well > a; cp -a a b; mv b c; ln -s c d; touch -d @0 a; stat c"
        " >/dev/null; df . >/dev/null; sha256sum c | sha256sum -c >/dev/null; dd if=/dev/zero of=z bs=1k count=9"
        " status=none; truncate -s 5 z; nice -n 5 timeout 5 cat d",
    ),
    "git": (
        "bash",
        "-c",
        "set -e; git init -q r; cd r; echo well > f; git add f; git -c user.name=n -c user.email=e"
        " commit -qm m; git show HEAD:f",
    ),
    "gcc": (
        "bash",
        "-c",
        "set -e; echo '#include <stdio.h>\nint main(void) { puts(\"well\"); }' > p.c; gcc -O1 -o p p.c; ./p",
    ),
    "node": (
        "node",
        "-e",
        "new (require('worker_threads').Worker)('0', {eval: true}).on('exit', () => {"
        "console.log(require('child_process').execSync('echo well').toString().trim())})",
    ),
    "perl": ("perl", "-e", "my $p = fork; exit 0 unless $p; waitpid $p, 0; print qq(well\\n)"),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_programs_run(name: str, tmp_path: Path) -> None:
    """Threads, processes, pipes, files, compilers: what people do all day."""
    argv = ORDINARY[name]
    if shutil.which(name) is None and name in ("git", "gcc"):
        pytest.skip(f"needs {name}")
    assert sandboxed(*argv, cwd=tmp_path) == "well\n"
