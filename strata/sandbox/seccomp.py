# SPDX-License-Identifier: MIT
"""The tables of syscalls.py as a seccomp program: classic BPF for seccomp(2) and `bwrap --seccomp`.

libseccomp tells the number of a name on an architecture. The program is written here, because libseccomp's rules
cannot say "any value but these" of the low 32 bits of an argument, and one that compares all 64 is passed by setting
some of the others.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import platform
import struct
from collections.abc import Iterator
from typing import NamedTuple

from strata import programs
from strata.errors import Unavailable
from strata.sandbox import syscalls
from strata.sandbox.syscalls import ALLOW, PRETEND, Case, Rule

# <linux/audit.h>: machine, bits and byte order in one number, as seccomp_data.arch has it and libseccomp takes it.
MACHINES = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
# <linux/seccomp.h>
RET_KILL_PROCESS, RET_ERRNO, RET_ALLOW = 0x8000_0000, 0x0005_0000, 0x7FFF_0000
NR, ARCH, ARGS = 0, 4, 16  # offsets in struct seccomp_data; both machines keep the low word of an argument first
# <linux/bpf_common.h>: load a word, mask it, jump, compare, return
LOAD, AND, JUMP, EQUAL, AT_LEAST, RETURN = 0x20, 0x54, 0x05, 0x15, 0x35, 0x06
LIBRARY = "libseccomp.so.2"
"""As the loader finds it. Who builds Strata for a system without /usr/lib, such as NixOS, puts its whole path here."""

_X32 = 0x4000_0000  # set in the number of every x32 call, which otherwise looks like one of x86_64
_NUMBERS_END = 0x1_0000_0000

Instruction = tuple[int, int, int, int]
"""Code, offset if true, offset if false, operand: struct sock_filter."""


class Span(NamedTuple):
    """Numbers from the last span's end up to before `end` that get one answer: an action, or a rule's place."""

    end: int
    answer: int | str


def program(machine: str = "") -> bytes:
    """The filter, an array of struct sock_filter, for this machine or the one named. Raises Unavailable."""
    machine = machine or platform.machine()
    if machine not in MACHINES:
        known = ", ".join(MACHINES)
        raise Unavailable(f"cannot filter system calls on {machine}: sandboxes run on {known}")
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in _instructions(machine))


@functools.cache
def answers(machine: str) -> dict[int, int | str]:
    """By number: ALLOW, PRETEND, an errno, or the name of a call that has rules. Any other is answered ENOSYS."""
    found: dict[int, int | str] = {}
    tables = ((syscalls.ALLOWED, ALLOW), (syscalls.DENIED, errno.EPERM), (syscalls.HIDDEN, errno.ENOSYS))
    for groups, answer in (*tables, (syscalls.PRETENDED, PRETEND)):
        found |= dict.fromkeys(_numbers([call for group in groups for call in group.calls], machine).values(), answer)
    names = [rule.call for rule in syscalls.RULES]
    return found | {number: name for name, number in _numbers(names, machine).items()}


def _numbers(names: list[str], machine: str) -> dict[str, int]:
    found = {name: number_of(name, machine) for name in names}
    return {name: number for name, number in found.items() if number >= 0}


def number_of(name: str, machine: str) -> int:
    """The number of a call, negative when that architecture has none. Raises Unavailable for a name nobody knows."""
    number: int = _resolve()(MACHINES[machine], name.encode())
    if number != -1:  # __NR_SCMP_ERROR; lower ones are calls of other architectures
        return number
    if name in syscalls.NEWER:
        return syscalls.NEWER[name]
    if name in syscalls.ONLY_ON:
        where, number = syscalls.ONLY_ON[name]
        return number if where == machine else -2
    raise Unavailable(f"cannot filter system calls: libseccomp knows none called {name!r}; update it")


@functools.cache
def _resolve() -> ctypes._NamedFuncPointer:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise Unavailable(f"cannot filter system calls: {error}; {programs.install('libseccomp')}") from error
    resolve = library.seccomp_syscall_resolve_name_arch
    resolve.argtypes, resolve.restype = (ctypes.c_uint32, ctypes.c_char_p), ctypes.c_int
    return resolve


def _instructions(machine: str) -> list[Instruction]:
    """Foreign calls first, then the spans in order, then the rules: every jump goes forward, as BPF wants it."""
    spans = list(_spans(machine))
    rules = {rule.call: _rule(rule) for rule in syscalls.RULES}
    places, at = {}, 2 * len(spans)
    for name, code in rules.items():
        places[name], at = at, at + len(code)
    head = [
        (LOAD, 0, 0, ARCH),
        (EQUAL, 1, 0, MACHINES[machine]),
        (RETURN, 0, 0, RET_KILL_PROCESS),  # the 32-bit entry of a 64-bit kernel
        (LOAD, 0, 0, NR),
    ]
    body = [instruction for index, span in enumerate(spans) for instruction in _span(span, 2 * index, places)]
    return [*head, *body, *(instruction for code in rules.values() for instruction in code)]


def _spans(machine: str) -> Iterator[Span]:
    """All numbers from 0 on; neighbours with the same answer are one."""
    known = answers(machine)
    last: int | str = known.get(0, errno.ENOSYS)
    for number in range(1, max(known) + 2):
        here = known.get(number, errno.ENOSYS)
        if here != last:
            yield Span(number, last)
            last = here
    if machine == "x86_64":
        yield Span(_X32, errno.ENOSYS)
        # -1 is what a debugger writes to skip a call, not x32 (ptrace(2)); it is answered as any unknown number.
        yield Span(_NUMBERS_END - 1, RET_KILL_PROCESS)
    yield Span(_NUMBERS_END, errno.ENOSYS)


def _span(span: Span, at: int, places: dict[str, int]) -> tuple[Instruction, Instruction]:
    """Past it when the number is not below its end. The last needs no look: a jump to the answer follows it at once."""
    past = (JUMP, 0, 0, 0) if span.end == _NUMBERS_END else (AT_LEAST, 1, 0, span.end)
    if isinstance(span.answer, str):
        return past, (JUMP, 0, 0, places[span.answer] - (at + 2))
    return past, (RETURN, 0, 0, _action(span.answer))


def _action(answer: int) -> int:
    if answer == RET_KILL_PROCESS:
        return answer
    if answer == PRETEND:
        return RET_ERRNO  # with an errno of 0 the call returns 0 (seccomp(2))
    return RET_ALLOW if answer == ALLOW else RET_ERRNO | answer


def _rule(rule: Rule) -> list[Instruction]:
    cases = [instruction for case in rule.cases for instruction in _case(case)]
    return [*cases, (RETURN, 0, 0, _action(rule.otherwise))]


def _case(case: Case) -> list[Instruction]:
    """Written from its end: whatever does not hold jumps past the case's answer."""
    code: list[Instruction] = [(RETURN, 0, 0, _action(case.answer))]
    for argument in reversed(case.arguments):
        length = len(argument.values)
        looks = [
            (EQUAL, length - 1 - index, len(code) if index == length - 1 else 0, value)
            for index, value in enumerate(argument.values)
        ]
        code = [(LOAD, 0, 0, ARGS + 8 * argument.position), (AND, 0, 0, argument.mask), *looks, *code]
    return code
