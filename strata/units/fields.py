# SPDX-License-Identifier: MIT
"""Readers of single manifest values: a TOML value goes in, a typed one comes out, or InvalidArgument says what was
expected. A table of such readers describes a section (`read_table`)."""

from __future__ import annotations

import difflib
import math
import re
import urllib.parse
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from strata import values
from strata.errors import InvalidArgument
from strata.units import names

Reader: TypeAlias = Callable[[Any], Any]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_CREDENTIAL = re.compile(r"[ -.0-9;-~]{1,255}")
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")
PLACEHOLDERS = (
    *("python", "runtime_dir", "state_dir", "config_dir", "name", "node_id", "api_address"),
    *("identity_key_file", "api_tls_certificate", "api_tls_key"),
)


class FieldError(InvalidArgument):
    """A value is not what its key holds; `key` is the dotted path to it."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}" if key else problem, key=key)
        self.key, self.problem = key, problem


def read_table(raw: object, readers: Mapping[str, Reader], required: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read every key of a TOML table with its reader. Unknown and missing keys are errors that name them."""
    if not isinstance(raw, dict):
        raise FieldError("", f"must be a table of keys, not {_kind(raw)}")
    for key in raw:
        if key not in readers:
            raise FieldError(key, f"is no key of a manifest here{suggestion(key, readers)}")
    for key in required:
        if key not in raw:
            raise FieldError(key, "is missing: add it")
    return {key: _read(key, value, readers[key]) for key, value in raw.items()}


def _read(key: str, value: object, reader: Reader) -> Any:
    try:
        return reader(value)
    except FieldError as error:
        raise FieldError(f"{key}.{error.key}" if error.key else key, error.problem) from error
    except InvalidArgument as error:
        raise FieldError(key, error.message) from error


def suggestion(word: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    """`; did you mean X?` or, with nothing near, what there is to choose from."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; expected one of: {', '.join(known)}" if len(known) <= 24 else ""


def _kind(value: object) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "a table"}
    return kinds.get(type(value), "a date")


def text(value: object) -> str:
    """One line of text."""
    if not isinstance(value, str):
        raise InvalidArgument(f"must be text in quotes, not {_kind(value)}")
    if _CONTROL.search(value):
        raise InvalidArgument("must be one line without control characters")
    return value


def filled(value: object) -> str:
    """One line of text that is not empty, nor is to systemd, which leaves out spaces around a value."""
    if not text(value).strip():
        raise InvalidArgument("must not be empty")
    return text(value)


def placed(value: object) -> str:
    """Text in which every `${…}` is a placeholder that Strata fills in."""
    line = filled(value)
    for name in _PLACEHOLDER.findall(line):
        if name not in PLACEHOLDERS:
            raise InvalidArgument(f"${{{name}}} is no placeholder{suggestion(name, PLACEHOLDERS)}")
    return line


def url(value: object) -> str:
    """An http or https URL with a host and, if it names one, a port that can be."""
    line = placed(value)
    try:
        parts = urllib.parse.urlsplit(_PLACEHOLDER.sub("x", line))
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port out of range, half a bracket
        usable = False
    if not usable:
        raise InvalidArgument(f"must be a URL such as http://localhost:8080/health, not {line!r}")
    return line


def target(value: object) -> str:
    """Where a connection is tried: `host:port`, `[v6]:port`, or the absolute path of a socket."""
    line = placed(value)
    host, _, port = line.rpartition(":")
    number = int(port) if _PORT.fullmatch(port) else 0
    if not line.startswith(("/", "${")) and not (host and 0 < number < 65536):
        raise InvalidArgument(f"must be host:port or the absolute path of a socket, not {line!r}")
    return line


def command(value: object) -> tuple[str, ...]:
    """An argument list; its first word is an absolute path, a placeholder, or a program on systemd's path."""
    if not isinstance(value, list) or not value:
        raise InvalidArgument(f'must be a list of words such as ["/usr/bin/true", "-x"], not {_kind(value)}')
    for word in value:
        if not isinstance(word, str) or "\0" in word:
            raise InvalidArgument("must be a list of words without NUL bytes")
    program: str = value[0]
    relative = "/" in program and not program.startswith(("/", "${"))
    if (
        relative
        or program[:1] in ("", "-", "@", ":", "+", "!", "|")
        or program in (".", "..")
        or _CONTROL.search(program)
    ):
        raise InvalidArgument(f"must start with a program name or an absolute path, not {program!r}")
    return tuple(value)


def name_list(value: object) -> tuple[str, ...]:
    """A list of service names."""
    if not isinstance(value, list):
        raise InvalidArgument(f'must be a list of service names such as ["fs"], not {_kind(value)}')
    return tuple(dict.fromkeys(names.check_name(filled(item)) for item in value))


def choice(*options: str) -> Reader:
    """One of a few words."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in options:
            raise InvalidArgument(f"must be one of {', '.join(options)}, not {value!r}")
        return value

    return read


def boolean(value: object) -> bool:
    """`true` or `false`."""
    if not isinstance(value, bool):
        raise InvalidArgument(f"must be true or false, not {_kind(value)}")
    return value


def seconds(value: object) -> float:
    """A time span in systemd's notation, or a number of seconds; more than none, at most a year."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        span = float(value) if abs(value) < 1e12 else math.inf
    else:
        span = values.microseconds(text(value)) / 1e6
    if not 0 < span <= 31_557_600:
        raise InvalidArgument(f'must be a time span such as "5s" or 5, above zero and at most a year, not {value!r}')
    return span


def count(low: int, high: int) -> Reader:
    """A whole number within bounds."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise InvalidArgument(f"must be a whole number from {low} to {high}, not {value!r}")
        return value

    return read


def access_mode(value: object) -> int:
    """Octal digits in quotes, `"0660"`. A bare number is refused: 660 would mean something else."""
    if isinstance(value, str):
        return values.mode(value)
    raise InvalidArgument(f'must be an octal access mode in quotes such as "0660", not {value!r}')


def amount(*readers: Callable[[str], int]) -> Reader:
    """A quantity in systemd's notation, kept as written once one of `readers` (or `infinity`) takes it."""

    def read(value: object) -> str:
        written = str(value) if isinstance(value, int) and not isinstance(value, bool) else filled(value)
        if written == "infinity" or any(_takes(reader, written) for reader in readers):
            return written
        readers[0](written)
        raise AssertionError("the first reader refuses what none of them takes")

    return read


def _takes(reader: Callable[[str], int], written: str) -> bool:
    try:
        reader(written)
    except InvalidArgument:
        return False
    return True


def cpu_quota(written: str) -> int:
    """A percentage of one CPU; more than 100% is more than one CPU."""
    value = values.permyriad(written, limit=values.UNBOUNDED_SHARE)
    if value == 0:
        raise InvalidArgument("must be above 0%")
    return value


def environment(value: object) -> Mapping[str, str]:
    """Variables for the service. Those of Strata itself are not to be changed."""
    return _mapping(value, _variable, "variable", _variable_value)


def _variable(name: str) -> None:
    if not _VARIABLE.fullmatch(name):
        raise InvalidArgument(f"{name!r} is no name of a variable")
    if name.startswith("STRATA_"):
        raise InvalidArgument(f"{name} is set by Strata: leave it out")


def _variable_value(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise InvalidArgument("must be text in quotes without NUL bytes")
    return value


def credentials(value: object) -> Mapping[str, str]:
    """Credential name to the absolute path that systemd reads it from (LoadCredential=, systemd.exec(5))."""
    return _mapping(value, _credential, "credential", _credential_path)


def _credential(name: str) -> None:
    # credential_name_valid() of systemd; what stands at the ends of a line it would cut off.
    if not _CREDENTIAL.fullmatch(name) or name in (".", "..") or name != name.strip():
        raise InvalidArgument(f"{name!r} is no name of a credential: it must be a file name in ASCII without a colon")


def _credential_path(value: object) -> str:
    path = placed(value)
    if not path.startswith(("/", "${")):
        raise InvalidArgument(f"must be an absolute path, not {path!r}; a secret itself does not belong in a manifest")
    return path


def _mapping(value: object, check: Callable[[str], None], what: str, read: Reader) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise InvalidArgument(f"must be a table of {what}s, not {_kind(value)}")
    for name in value:
        check(name)
    return MappingProxyType({name: _read(name, item, read) for name, item in value.items()})
