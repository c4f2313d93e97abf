# SPDX-License-Identifier: MIT
"""Names that the kernel and the C library give to numbers, as unit files write them."""

from __future__ import annotations

import errno
import re
import signal
from collections.abc import Callable, Mapping

from strata import values
from strata.errors import InvalidArgument
from strata.units.fields import suggestion
from strata.units.text import words


def _names(text: str) -> list[str]:
    return text.split()


# capabilities(7), in the order of their numbers.
CAPABILITIES = _names(
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
    "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
    "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ "
    "PERFMON BPF CHECKPOINT_RESTORE"
)
CAPABILITY_BITS = {f"CAP_{name}": 1 << number for number, name in enumerate(CAPABILITIES)}

# namespaces(7); sched.h.
NAMESPACE_BITS = {
    "cgroup": 0x02000000,
    "ipc": 0x08000000,
    "net": 0x40000000,
    "mnt": 0x00020000,
    "pid": 0x20000000,
    "user": 0x10000000,
    "uts": 0x04000000,
}
ALL_NAMESPACES = sum(NAMESPACE_BITS.values())

# securebits.h.
SECURE_BITS = {
    "noroot": 1 << 0,
    "noroot-locked": 1 << 1,
    "no-setuid-fixup": 1 << 2,
    "no-setuid-fixup-locked": 1 << 3,
    "keep-caps": 1 << 4,
    "keep-caps-locked": 1 << 5,
}

# syslog(3).
LOG_LEVELS = {name: number for number, name in enumerate(_names("emerg alert crit err warning notice info debug"))}
LOG_FACILITIES = {
    **{
        name: number
        for number, name in enumerate(_names("kern user mail daemon auth syslog lpr news uucp cron authpriv ftp"))
    },
    **{f"local{number}": 16 + number for number in range(8)},
}
# ioprio_set(2), sched(7), set_mempolicy(2), ip(7), mount(2).
IO_CLASSES = {"none": 0, "realtime": 1, "best-effort": 2, "idle": 3}
CPU_POLICIES = {"other": 0, "fifo": 1, "rr": 2, "batch": 3, "idle": 5}
NUMA_POLICIES = {"default": 0, "preferred": 1, "bind": 2, "interleave": 3, "local": 4}
TYPES_OF_SERVICE = {"low-delay": 0x10, "throughput": 0x08, "reliability": 0x04, "low-cost": 0x02}
PROTOCOLS = {"tcp": 6, "udp": 17, "dccp": 33, "sctp": 132, "udplite": 136, "mptcp": 262}
PROPAGATION = {"shared": 1 << 20, "slave": 1 << 19, "private": 1 << 18}
# core(5), /proc/PID/coredump_filter.
CORE_FILTER = {
    "private-anonymous": 1 << 0,
    "shared-anonymous": 1 << 1,
    "private-file-backed": 1 << 2,
    "shared-file-backed": 1 << 3,
    "elf-headers": 1 << 4,
    "private-huge": 1 << 5,
    "shared-huge": 1 << 6,
    "private-dax": 1 << 7,
    "shared-dax": 1 << 8,
    "default": 0x33,
    "all": 2**64 - 1,
}
# SECCOMP_ERROR_NUMBER_KILL of systemd: kill instead of returning an error.
SECCOMP_KILL = 2**31 - 2

_HEXADECIMAL = re.compile(r"(?:0[xX])?[0-9a-fA-F]{1,32}", re.ASCII)
_REALTIME = re.compile(r"RT(MIN|MAX)(?:([+-])([0-9]{1,2}))?", re.ASCII)


def named(table: Mapping[str, int], number: Callable[[str], int] | None = None) -> Callable[[str], int]:
    """A reader of the names in `table`, and of numbers if there is a reader for them."""

    def read(text: str) -> int:
        if text in table:
            return table[text]
        if number is not None and text[:1].isdigit():
            return number(text)
        raise InvalidArgument(f"cannot read {text!r}: it is no known name{suggestion(text, table)}")

    return read


def bits(table: Mapping[str, int], text: str) -> int:
    """The sum of the names in a space-separated list."""
    read, total = named(table), 0
    for word in words(text, escapes=False):
        total |= read(word)
    return total


def capabilities(text: str) -> int:
    """Bits of a list of capability names, in either case."""
    return bits(CAPABILITY_BITS, text.upper())


def core_filter(text: str) -> int:
    """Names or hexadecimal masks, added up (CoredumpFilter=, systemd.exec(5))."""
    total = 0
    for word in words(text, escapes=False):
        total |= CORE_FILTER[word] if word in CORE_FILTER else _hexadecimal(word)
    return total


def _hexadecimal(word: str) -> int:
    if not _HEXADECIMAL.fullmatch(word) or (mask := int(word, 16)) >= 2**64:
        said = "expected a kind of mapping or a hexadecimal mask of 64 bits"
        raise InvalidArgument(f"cannot read {word[:40]!r}: {said}")
    return mask


def signal_number(text: str) -> int:
    """A signal by name, with or without SIG, by number, or RTMIN+n (signal(7))."""
    name = text.removeprefix("SIG")
    if match := _REALTIME.fullmatch(name):
        base = signal.SIGRTMIN if match[1] == "MIN" else signal.SIGRTMAX
        return _in_range(base + int((match[2] or "+") + (match[3] or "0")), text)
    if name.isascii() and name.isdigit():
        return _in_range(int(name[:9]), text)
    try:
        return int(signal.Signals[f"SIG{name}"])
    except KeyError as error:
        raise InvalidArgument(f"cannot read {text[:40]!r}: it is no signal; write SIGTERM, TERM or 15") from error


def _in_range(number: int, text: str) -> int:
    if not 1 <= number <= signal.SIGRTMAX:
        raise InvalidArgument(f"cannot read {text[:40]!r}: signals go from 1 to {int(signal.SIGRTMAX)}")
    return number


def error_number(text: str) -> int:
    """An errno by name or number, or `kill` (SystemCallErrorNumber=)."""
    if text == "kill":
        return SECCOMP_KILL
    known = {name: number for number, name in errno.errorcode.items()}
    return known[text] if text in known else values.Integer(0, 4095, "an error name or a number")(text)


def _exit_statuses() -> dict[str, int]:
    # Exit codes with names: stdlib.h, systemd.exec(5) PROCESS EXIT CODES, sysexits.h.
    own = _names(
        "CHDIR NICE FDS EXEC MEMORY LIMITS OOM_ADJUST SIGNAL_MASK STDIN STDOUT CHROOT IOPRIO TIMERSLACK "
        "SECUREBITS SETSCHEDULER CPUAFFINITY GROUP USER CAPABILITIES CGROUP SETSID CONFIRM STDERR _ PAM "
        "NETWORK NAMESPACE NO_NEW_PRIVILEGES SECCOMP SELINUX_CONTEXT PERSONALITY APPARMOR ADDRESS_FAMILIES "
        "RUNTIME_DIRECTORY _ CHOWN SMACK_PROCESS_LABEL KEYRING STATE_DIRECTORY CACHE_DIRECTORY LOGS_DIRECTORY "
        "CONFIGURATION_DIRECTORY NUMA_POLICY CREDENTIALS BPF"
    )
    bsd = _names(
        "USAGE DATAERR NOINPUT NOUSER NOHOST UNAVAILABLE SOFTWARE OSERR OSFILE CANTCREAT IOERR TEMPFAIL "
        "PROTOCOL NOPERM CONFIG"
    )
    lsb = _names("INVALIDARGUMENT NOTIMPLEMENTED NOPERMISSION NOTINSTALLED NOTCONFIGURED NOTRUNNING")
    found = {"SUCCESS": 0, "FAILURE": 1, "EXCEPTION": 255}
    for start, listed in ((2, lsb), (64, bsd), (200, own)):
        found.update({name: start + index for index, name in enumerate(listed) if name != "_"})
    return found


EXIT_STATUSES = _exit_statuses()


def exit_statuses(text: str) -> tuple[list[int], list[int]]:
    """Exit codes and signals in a list of both; numbers are exit codes (SuccessExitStatus=, systemd.service(5))."""
    codes: list[int] = []
    signals: list[int] = []
    for word in words(text, escapes=False):
        if word in EXIT_STATUSES:
            codes.append(EXIT_STATUSES[word])
        elif word.isascii() and word.isdigit():
            codes.append(values.Integer(0, 255, "an exit code")(word))
        else:
            signals.append(signal_number(word))
    return codes, signals


_CPU_RANGE = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", re.ASCII)


def cpu_set(text: str) -> bytes:
    """Ranges and numbers such as `0-3,5` as a bit mask, least significant first, in whole 64-bit words."""
    mask = 0
    for word in words(text, escapes=False, separators=" \t\n\r,"):
        match = _CPU_RANGE.fullmatch(word)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if high < low or high > 8191:
            raise InvalidArgument(f"cannot read {text!r}: expected numbers and ranges such as 0-3,5")
        mask |= ((1 << (high - low + 1)) - 1) << low
    return mask.to_bytes(max(1, -(-mask.bit_length() // 64)) * 8, "little")
