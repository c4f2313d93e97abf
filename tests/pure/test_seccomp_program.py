# SPDX-License-Identifier: MIT
"""What the sandbox's filter answers to any system call, asked of an interpreter of its program (BPF as in bpf(4))."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strata.errors import Unavailable
from strata.sandbox import seccomp, syscalls

KILLED, PRETENDED, ALLOWED = -2, -1, 0
MACHINES = sorted(seccomp.MACHINES)


def answer(machine: str, number: int, *arguments: int, arch: int | None = None) -> int:
    """ALLOWED, PRETENDED, KILLED or an errno. Arguments are the registers, 64 bits each."""
    arch = seccomp.MACHINES[machine] if arch is None else arch
    registers = [value & (2**64 - 1) for value in (*arguments, *([0] * (6 - len(arguments))))]
    data = struct.pack("<IIQ6Q", number & 0xFFFF_FFFF, arch, 0, *registers)
    action = interpret(seccomp.program(machine), data)
    kinds = {seccomp.RET_ALLOW: ALLOWED, seccomp.RET_KILL_PROCESS: KILLED, seccomp.RET_ERRNO: PRETENDED}
    return kinds[action] if action in kinds else action & ~seccomp.RET_ERRNO


def interpret(program: bytes, data: bytes) -> int:
    """Run classic BPF to its return; an unknown instruction, or a jump out of the program, is an error."""
    code = list(struct.iter_unpack("=HBBI", program))
    at = word = 0
    while True:
        kind, yes, no, operand = code[at]
        at += 1
        if kind == seccomp.RETURN:
            return int(operand)
        if kind == seccomp.LOAD:
            (word,) = struct.unpack_from("<I", data, operand)
        elif kind == seccomp.AND:
            word &= operand
        elif kind == seccomp.JUMP:
            at += operand
        else:
            holds = {seccomp.EQUAL: word == operand, seccomp.AT_LEAST: word >= operand}[kind]
            at += yes if holds else no


@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_gets_the_answer_of_its_table(machine: str) -> None:
    """All numbers that the tables name, and a good way beyond: what no table names is ENOSYS."""
    known = seccomp.answers(machine)
    wanted = {number: known.get(number, errno.ENOSYS) for number in range(1000)}
    ruled = {number for number, value in wanted.items() if isinstance(value, str)}
    assert {n: answer(machine, n) for n in wanted if n not in ruled} == {
        n: value for n, value in wanted.items() if n not in ruled
    }


@pytest.mark.parametrize("machine", MACHINES)
def test_no_call_stands_in_two_tables(machine: str) -> None:
    """Each name has one fate, and a reason for it."""
    groups = (*syscalls.ALLOWED, *syscalls.DENIED, *syscalls.HIDDEN, *syscalls.PRETENDED)
    names = [call for group in groups for call in group.calls] + sorted({rule.call for rule in syscalls.RULES})
    assert len(names) == len(set(names))
    assert all(group.reason for group in groups)
    for name in names:
        seccomp.number_of(name, machine)  # raises for a name that is misspelt


@pytest.mark.parametrize("machine", MACHINES)
@given(number=st.integers(0, 2**32 - 1), arguments=st.lists(st.integers(0, 2**64 - 1), max_size=6))
def test_any_call_whatever_gets_an_answer(machine: str, number: int, arguments: list[int]) -> None:
    """No input makes the program run out of itself, and what is allowed is in a table."""
    if answer(machine, number, *arguments) == ALLOWED:
        assert number in seccomp.answers(machine)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("foreign", [0x4000_0003, 0x4000_0028, 0xC000_00F3, 0])
def test_calls_of_another_architecture_end_the_process(machine: str, foreign: int) -> None:
    """The 32-bit entry of either machine, and anything else, whatever the number."""
    assert answer(machine, 0, arch=foreign) == KILLED


def test_x32_calls_end_the_process() -> None:
    """They come with x86_64's architecture and a bit in the number; -1, which skips a call, is no x32."""
    assert answer("x86_64", 0x4000_0000 | 39) == KILLED
    assert answer("x86_64", 0x4000_0000) == KILLED
    assert answer("x86_64", 0xFFFF_FFFE) == KILLED
    assert answer("x86_64", -1) == errno.ENOSYS
    assert answer("x86_64", 0x3FFF_FFFF) == errno.ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("bit", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000])
def test_clone_makes_no_namespaces(machine: str, bit: int) -> None:
    """With SIGCHLD and a thread's flags beside the bit, and with rubbish above the 32 that count."""
    clone = seccomp.number_of("clone", machine)
    assert answer(machine, clone, bit | 17) == errno.EPERM
    assert answer(machine, clone, bit | 0x3D0F00 | 1 << 40) == errno.EPERM
    assert answer(machine, clone, 0x3D0F00 & ~0x20000) == ALLOWED
    assert answer(machine, clone, 0x1200011) == ALLOWED


@pytest.mark.parametrize("machine", MACHINES)
def test_clone_makes_no_child_of_ones_parent(machine: str) -> None:
    """Of a session's shell that is the launcher."""
    clone = seccomp.number_of("clone", machine)
    assert answer(machine, clone, 0x8000 | 17) == errno.EPERM
    assert answer(machine, clone, 0x8000 | 0x1200011 | 1 << 40) == errno.EPERM


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("high", [0, 1, 0x7FFF_FFFF, 0xFFFF_FFFF])
@pytest.mark.parametrize("request_number", [0x5412, 0x541C, 0x5423])
def test_terminal_injection_is_refused_whatever_stands_above_the_low_word(
    machine: str, high: int, request_number: int
) -> None:
    """The kernel looks at 32 bits of an ioctl's request."""
    ioctl = seccomp.number_of("ioctl", machine)
    assert answer(machine, ioctl, 0, high << 32 | request_number) == errno.EPERM
    assert answer(machine, ioctl, 0, high << 32 | 0x5413) == ALLOWED


@pytest.mark.parametrize("machine", MACHINES)
def test_flushing_of_other_peoples_files_is_pretended_and_that_of_ones_own_is_done(machine: str) -> None:
    """sync, syncfs and what btrfs has for them return 0 and do nothing; fsync and fdatasync reach the kernel."""
    assert {answer(machine, seccomp.number_of(name, machine), 3) for name in ("sync", "syncfs")} == {PRETENDED}
    assert {answer(machine, seccomp.number_of(name, machine), 3) for name in ("fsync", "fdatasync")} == {ALLOWED}
    ioctl = seccomp.number_of("ioctl", machine)
    assert {answer(machine, ioctl, 3, asked) for asked in (0x9408, 0x80089418, 1 << 40 | 0x9408)} == {PRETENDED}


@pytest.mark.parametrize("machine", MACHINES)
def test_socket_families(machine: str) -> None:
    """Four families; of netlink only the routes."""
    socket, pair = seccomp.number_of("socket", machine), seccomp.number_of("socketpair", machine)
    assert {family for family in range(100) if answer(machine, socket, family, 1, 0) == ALLOWED} == {1, 2, 10, 16}
    assert {family for family in range(100) if answer(machine, pair, family, 1, 0) == ALLOWED} == {1}
    assert answer(machine, socket, 40, 1, 0) == errno.EAFNOSUPPORT
    assert answer(machine, socket, 1 << 32 | 40, 1, 0) == errno.EAFNOSUPPORT
    assert {p for p in range(40) if answer(machine, socket, 16, 3, p) == ALLOWED} == {0}
    assert answer(machine, socket, 16, 3, 16) == errno.EPROTONOSUPPORT


@pytest.mark.parametrize("machine", MACHINES)
def test_personalities(machine: str) -> None:
    """The question (0xffffffff), and values without a bit that matters."""
    personality = seccomp.number_of("personality", machine)
    assert answer(machine, personality, 0xFFFF_FFFF) == ALLOWED
    assert answer(machine, personality, 0) == ALLOWED
    assert answer(machine, personality, 0x0040000) == errno.EPERM  # ADDR_NO_RANDOMIZE
    assert answer(machine, personality, 0x0400000) == errno.EPERM  # READ_IMPLIES_EXEC


def test_a_machine_without_a_table_is_refused() -> None:
    """The filter is never left out."""
    with pytest.raises(Unavailable, match="cannot filter system calls on riscv64: sandboxes run on x86_64, aarch64"):
        seccomp.program("riscv64")


def test_every_call_that_this_machines_headers_name_has_a_place_in_a_table() -> None:
    """ENOSYS by default is for calls of the future, not for those that were forgotten."""
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not header.exists():
        pytest.skip("needs the kernel headers of an x86_64 (linux-libc-dev)")
    numbers = {int(number) for number in re.findall(r"^#define __NR_\w+ (\d+)$", header.read_text(), re.MULTILINE)}
    assert sorted(numbers - set(seccomp.answers("x86_64")) - set(range(450, 1000))) == []
