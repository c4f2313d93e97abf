# SPDX-License-Identifier: MIT
"""How the odder directives of systemd.exec(5), systemd.service(5) and systemd.kill(5) travel over D-Bus.

The layouts are those of org.freedesktop.systemd1(5); what a value may look like is said in the directive's man page.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import NamedTuple

from strata.errors import InvalidArgument
from strata.units import kernel, values
from strata.units.rows import Assigned, Property, ReadAs
from strata.units.text import fields, first_word, raw_words, unescape, words

_MS_REC = 1 << 14

_PREFIXES = {"-": "ignore-failure", "+": "privileged", "!": "no-setuid", "!!": "ambient", ":": "no-env-expand"}


class Command(NamedTuple):
    """An ExecStart= line: the program, the words it sees as argv, and the flags that its prefixes mean."""

    path: str
    argv: list[str]
    flags: list[str]


def command(value: str) -> Command:
    """Read a command line with its prefixes `- @ : + !` (systemd.service(5), COMMAND LINES)."""
    flags: list[str] = []
    own_argv0, rest = False, value
    while rest and rest[0] in "-@:+!":
        prefix = "!!" if rest.startswith("!!") else rest[0]
        own_argv0 = own_argv0 or prefix == "@"
        if prefix in _PREFIXES:
            flags.append(_PREFIXES[prefix])
        rest = rest[len(prefix) :]
    if len(set(flags)) != len(flags) or len(set(flags) & {"privileged", "no-setuid", "ambient"}) > 1:
        raise InvalidArgument(f"cannot read {value!r}: its prefixes contradict each other")
    path, rest = first_word(rest) if own_argv0 else ("", rest)
    argv = words(rest)
    if not argv:
        raise InvalidArgument(f"cannot read {value!r}: it names no program")
    if ";" in raw_words(rest):
        raise InvalidArgument(f"cannot read {value!r}: one command to a line, write a second directive instead of ;")
    return Command(path or argv[0], argv, flags)


def service_command(name: str) -> ReadAs:
    """ExecXYZ= of a service: the plain property where it can say it, ExecXYZEx where flags need it."""

    def read(value: str) -> tuple[Property, ...]:
        found = command(value)
        if set(found.flags) <= {"ignore-failure"}:
            return (Property(name, "a(sasb)", [(found.path, found.argv, bool(found.flags))]),)
        return (Property(f"{name}Ex", "a(sasas)", [tuple(found)]),)

    return read


def socket_command(value: str) -> list[tuple[str, list[str], bool]]:
    """ExecXYZ= of a socket, which has no property for the other prefixes."""
    found = command(value)
    if set(found.flags) - {"ignore-failure"}:
        raise InvalidArgument(f"cannot read {value!r}: a transient socket takes no prefix but - and @")
    return [(found.path, found.argv, bool(found.flags))]


def strings(value: str) -> list[str]:
    """A list of words."""
    return words(value, escapes=False)


def assignments(value: str) -> list[str]:
    """A list of NAME=value words, C-escapes resolved (Environment=)."""
    found = words(value)
    for word in found:
        if "=" not in word[1:]:
            raise InvalidArgument(f"cannot read {word!r}: expected NAME=value")
    return found


def environment_file(value: str) -> list[tuple[str, bool]]:
    """A path; a leading dash means that the file may be missing."""
    return [(value.removeprefix("-"), value.startswith("-"))]


def set_credential(value: str) -> list[tuple[str, bytes]]:
    """ID:text, with C-escapes."""
    name, data = _named(value, "a value")
    return [(name, unescape(data))]


def set_credential_encrypted(value: str) -> list[tuple[str, bytes]]:
    """ID:base64."""
    name, data = _named(value, "a value in Base64")
    return [(name, decode64(data))]


def load_credential(value: str) -> list[tuple[str, str]]:
    """ID:path; an ID alone is passed on from the manager's own credentials."""
    name, _, path = value.partition(":")
    return [(name, path or name)]


def _named(value: str, what: str) -> tuple[str, str]:
    name, colon, data = value.partition(":")
    if not colon or not name:
        raise InvalidArgument(f"cannot read a credential: expected ID:{what.removeprefix('a ')}")
    return name, data


def decode64(text: str) -> bytes:
    """Base64, white space ignored (StandardInputData=)."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise InvalidArgument(f"cannot read a value in Base64: {error}") from error


def input_text(value: str) -> bytes:
    """One line of standard input, C-escapes resolved (StandardInputText=)."""
    return unescape(value) + b"\n"


def stream(name: str, *, reading: bool) -> ReadAs:
    """StandardInput=, StandardOutput= and StandardError=, whose value decides which property is meant."""
    kinds = {"fd": "FileDescriptorName", "file": "File"}
    if not reading:
        kinds |= {"append": "FileToAppend", "truncate": "FileToTruncate"}

    def read(value: str) -> tuple[Property, ...]:
        kind, colon, target = value.partition(":")
        if colon and kind not in kinds:
            raise InvalidArgument(f"cannot read {value!r}: expected one of {', '.join(f'{each}:…' for each in kinds)}")
        return (Property(name + kinds[kind], "s", target) if colon else Property(name, "s", value),)

    return read


def limit(name: str) -> ReadAs:
    """A resource limit, `both` or `soft:hard` (setrlimit(2)); each half is a property of its own."""
    read_one = _LIMIT_UNITS.get(name, values.unsigned64)

    def read(value: str) -> tuple[Property, ...]:
        soft, _, hard = value.partition(":")
        low, high = (values.INFINITY if half == "infinity" else read_one(half) for half in (soft, hard or soft))
        if low > high:
            raise InvalidArgument(f"cannot read {value!r}: the soft limit is above the hard one")
        return Property(name, "t", high), Property(f"{name}Soft", "t", low)

    return read


def _whole_seconds(text: str) -> int:
    return -(-values.microseconds(text) // 1_000_000)


def _microseconds(text: str) -> int:
    return values.microseconds(text, "us")


def _nice_limit(text: str) -> int:
    # getrlimit(2): RLIMIT_NICE counts 40 (nice -20) down to 1 (nice 19); a sign means a nice level.
    if text.startswith(("+", "-")):
        return 20 - values.Integer(-20, 19, "a nice level")(text)
    return values.Integer(0, 40, "a limit")(text)


_LIMIT_UNITS = {
    "LimitCPU": _whole_seconds,
    "LimitRTTIME": _microseconds,
    "LimitNICE": _nice_limit,
    **dict.fromkeys(
        ("LimitFSIZE", "LimitDATA", "LimitSTACK", "LimitCORE", "LimitRSS", "LimitAS", "LimitMEMLOCK", "LimitMSGQUEUE"),
        values.size,
    ),
}


def nullable(value: str) -> tuple[bool, str]:
    """A security label; a leading dash means that failing to set it is no error."""
    return value.startswith("-"), value.removeprefix("-")


def selection(value: str) -> tuple[bool, list[str]]:
    """An allow list, or with a leading `~` a deny list (SystemCallFilter=, RestrictFileSystems=)."""
    return not value.startswith("~"), words(value.removeprefix("~"), escapes=False)


def families(value: str) -> tuple[bool, list[str]]:
    """As `selection`; `none` allows no family at all (RestrictAddressFamilies=)."""
    return (True, []) if value == "none" else selection(value)


def capability_set(initial: int) -> Callable[[Assigned], int]:
    """Capabilities over several assignments: the first replaces `initial`, further ones add, `~` takes away."""
    return _Merge(initial, kernel.capabilities, 2**64 - 1)


def namespaces(assigned: Assigned) -> int:
    """RestrictNamespaces=: the bits of the namespaces that stay allowed."""
    return _Merge(kernel.ALL_NAMESPACES, _namespace_bits, kernel.ALL_NAMESPACES, empty=kernel.ALL_NAMESPACES)(assigned)


def _namespace_bits(value: str) -> int:
    try:
        return 0 if values.boolean(value) else kernel.ALL_NAMESPACES
    except InvalidArgument:
        return kernel.bits(kernel.NAMESPACE_BITS, value)


class _Merge:
    """Adds bit sets up as systemd's own parser of unit files does (config_parse_capability_set)."""

    def __init__(self, initial: int, read: Callable[[str], int], everything: int, empty: int = 0) -> None:
        self.initial, self.read, self.everything, self.empty = initial, read, everything, empty

    def __call__(self, assigned: Assigned) -> int:
        total = self.initial
        for value in assigned:
            total = self._merged(total, value)
        return total

    def _merged(self, total: int, value: str) -> int:
        if not value:
            return self.empty
        inverted = value.startswith("~")
        found = self.read(value.removeprefix("~"))
        if inverted:
            return total & ~found & self.everything if found else self.everything
        return found if total == self.initial else total | found


def secure_bits(assigned: Assigned) -> int:
    """SecureBits=: every assignment adds."""
    total = 0
    for value in assigned:
        total = total | kernel.bits(kernel.SECURE_BITS, value) if value else 0
    return total


def affinity(value: str) -> tuple[Property, ...]:
    """CPUAffinity=: processors, or `numa` for those of NUMAMask=."""
    if value == "numa":
        return (Property("CPUAffinityFromNUMA", "b", True),)
    return (Property("CPUAffinity", "ay", kernel.cpu_set(value)),)


def numa_mask(value: str) -> bytes:
    """NUMAMask=: nodes by number."""
    if value == "all":
        raise InvalidArgument("cannot use all: only the machine knows its nodes; name them, such as 0-1")
    return kernel.cpu_set(value)


def binds(value: str) -> list[tuple[str, str, bool, int]]:
    """source[:destination[:rbind|norbind]], a leading dash if it may be missing (BindPaths=)."""
    return [_bind(raw) for raw in raw_words(value)]


def _bind(raw: str) -> tuple[str, str, bool, int]:
    source, destination, option = _padded(fields(raw), 3, raw)
    if option not in ("", "rbind", "norbind"):
        raise InvalidArgument(f"cannot read {raw!r}: {option} is neither rbind nor norbind")
    path = source.removeprefix("-")
    return path, destination or path, source.startswith("-"), 0 if option == "norbind" else _MS_REC


def _padded(found: list[str], count: int, raw: str) -> list[str]:
    if len(found) > count or not found[0]:
        raise InvalidArgument(
            f"cannot read {raw!r}: expected at most {count} fields between colons, the first not empty"
        )
    return found + [""] * (count - len(found))


def file_systems(value: str) -> list[tuple[str, str]]:
    """path[:options] (TemporaryFileSystem=)."""
    return [(path, options) for path, _, options in (word.partition(":") for word in words(value, escapes=False))]


def image_options(value: str) -> list[tuple[str, str]]:
    """[partition:]options (RootImageOptions=)."""
    return [_option(fields(raw)) for raw in raw_words(value)]


def _option(found: list[str]) -> tuple[str, str]:
    return (found[0], ":".join(found[1:])) if len(found) > 1 else ("root", found[0])


def _options(found: list[str]) -> list[tuple[str, str]]:
    """Pairs of partition and options; a single one is the root partition's."""
    if len(found) == 1:
        return [("root", found[0])]
    if len(found) % 2:
        raise InvalidArgument("cannot read mount options: expected pairs of partition:options")
    return list(zip(found[::2], found[1::2], strict=True))


def mount_images(value: str) -> list[tuple[str, str, bool, list[tuple[str, str]]]]:
    """source:destination[:partition:options…] (MountImages=)."""
    return [_mount_image(raw, fields(raw)) for raw in raw_words(value)]


def _mount_image(raw: str, found: list[str]) -> tuple[str, str, bool, list[tuple[str, str]]]:
    if len(found) < 2 or not found[0] or not found[1]:
        raise InvalidArgument(f"cannot read {raw!r}: expected source:destination")
    return found[0].removeprefix("-"), found[1], found[0].startswith("-"), _options(found[2:])


def extension_images(value: str) -> list[tuple[str, bool, list[tuple[str, str]]]]:
    """source[:partition:options…] (ExtensionImages=)."""
    return [(f[0].removeprefix("-"), f[0].startswith("-"), _options(f[1:])) for f in map(fields, raw_words(value))]


def root_hash(value: str) -> tuple[Property, ...]:
    """RootHash=: hexadecimal, or a file that holds it."""
    if value.startswith("/"):
        return (Property("RootHashPath", "s", value),)
    try:
        raw = bytes.fromhex(value)
    except ValueError as error:
        raise InvalidArgument(f"cannot read {value!r}: expected a path or hexadecimal digits") from error
    if len(raw) < 16:
        raise InvalidArgument(f"cannot read {value!r}: a root hash has at least 16 bytes")
    return (Property("RootHash", "ay", raw),)


def root_hash_signature(value: str) -> tuple[Property, ...]:
    """RootHashSignature=: base64:…, or a file that holds it."""
    if value.startswith("/"):
        return (Property("RootHashSignaturePath", "s", value),)
    if not value.startswith("base64:"):
        raise InvalidArgument(f"cannot read {value!r}: expected a path or base64:…")
    return (Property("RootHashSignature", "ay", decode64(value.removeprefix("base64:"))),)


def directories(name: str) -> ReadAs:
    """StateDirectory= and its like: names, and name:symlink pairs which have a property of their own."""

    def read(value: str) -> tuple[Property, ...]:
        found = [_padded(fields(raw), 2, raw) for raw in raw_words(value)]
        plain = [source for source, link in found if not link]
        linked = [(source, link, 0) for source, link in found if link]
        return (
            *((Property(name, "as", plain),) if plain else ()),
            *((Property(f"{name}Symlink", "a(sst)", linked),) if linked else ()),
        )

    return read


_OPEN_FLAGS = {"read-only": 1, "append": 2, "truncate": 4, "graceful": 8}


def open_file(value: str) -> list[tuple[str, str, int]]:
    """path[:fd-name[:options]] (OpenFile=)."""
    path, name, options = _padded(fields(value), 3, value)
    flags = kernel.bits(_OPEN_FLAGS, options.replace(",", " "))
    return [(path, name or path.rpartition("/")[2], flags)]


def log_pattern(value: str) -> list[tuple[bool, str]]:
    """A regular expression that records must match, or with `~` must not (LogFilterPatterns=)."""
    return [(not value.startswith("~"), value.removeprefix("~"))]


def timeouts(value: str) -> tuple[Property, ...]:
    """TimeoutSec= of a service sets both."""
    span = values.microseconds(value)
    return Property("TimeoutStartUSec", "t", span), Property("TimeoutStopUSec", "t", span)
