# SPDX-License-Identifier: MIT
"""Read manifests (TOML): the core services' own and the users' in services.d.

Every key is read by the reader that the tables below give it. Whatever is wrong becomes a ManifestError that names the
file, the key, what was expected, and so what to do. One broken manifest never hides the others.
"""

from __future__ import annotations

import functools
import graphlib
import os
import stat
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from strata import values
from strata.config import DEFAULTS, CoreSettings
from strata.errors import InvalidArgument
from strata.units import contract, fields, names
from strata.units.model import Health, Limits, Manifest, Restart, Socket, Verbatim

CORE_DIRECTORY = Path(__file__).resolve().parent.parent / "services"
MAX_BYTES = 256 * 1024


class ManifestError(InvalidArgument):
    """A manifest that cannot be used; details hold `file` and, if one is to blame, `key`."""

    def __init__(self, source: str, key: str, problem: str) -> None:
        what = f"{key} {problem}" if key else problem
        super().__init__(f"cannot use manifest {source}: {what}", file=source, key=key)
        self.source, self.key = source, key


_SIZES = fields.amount(values.size, values.permyriad)

_SOCKET: Mapping[str, fields.Reader] = {"listen": fields.placed, "mode": fields.access_mode}
_HEALTH: Mapping[str, fields.Reader] = {
    "kind": fields.choice("watchdog", "http", "tcp", "exec"),
    "url": fields.url,
    "target": fields.target,
    "command": fields.command,
    "interval": fields.seconds,
    "timeout": fields.seconds,
    "failures": fields.count(1, 1000),
}
_RESTART: Mapping[str, fields.Reader] = {
    "backoff": fields.seconds,
    "backoff_max": fields.seconds,
    "crashes": fields.count(1, 1000),
    "window": fields.seconds,
}
_LIMITS: Mapping[str, fields.Reader] = {
    "memory_high": _SIZES,
    "memory_max": _SIZES,
    "memory_swap_max": _SIZES,
    "tasks_max": fields.amount(values.Integer(1, 2**63, "a number of tasks"), values.permyriad),
    "cpu_quota": fields.amount(fields.cpu_quota),
    "cpu_weight": fields.amount(values.Integer(1, 10_000, "a weight")),
    "io_weight": fields.amount(values.Integer(1, 10_000, "a weight")),
    "files_max": fields.amount(values.Integer(1, 2**30, "a number of descriptors")),
}


def _socket(raw: object) -> Socket:
    return Socket(**fields.read_table(raw, _SOCKET, required=("listen",)))


def _health(raw: object) -> Health:
    given = fields.read_table(raw, _HEALTH, required=("kind",))
    needed = {"http": "url", "tcp": "target", "exec": "command"}.get(given["kind"])
    for key in ("url", "target", "command"):
        if key == needed and key not in given:
            raise fields.FieldError(key, f"is missing: a check of kind {given['kind']} needs it")
        if key != needed and key in given:
            raise fields.FieldError(key, f"says nothing to a check of kind {given['kind']}: leave it out")
    return Health(**_in_seconds(given, "interval", "timeout"))


def _restart(raw: object) -> Restart:
    found = Restart(**_in_seconds(fields.read_table(raw, _RESTART), "backoff", "backoff_max", "window"))
    if found.backoff_max_sec < found.backoff_sec:
        raise fields.FieldError("backoff_max", "must not be below backoff")
    return found


def _limits(raw: object) -> Limits:
    return Limits(**fields.read_table(raw, _LIMITS))


def _in_seconds(given: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {f"{key}_sec" if key in keys else key: value for key, value in given.items()}


def _unit(raw: object) -> Verbatim:
    readers = dict.fromkeys(contract.SECTIONS, _directives)
    if isinstance(raw, dict) and "Install" in raw:
        raise fields.FieldError("Install", "says nothing to a unit that Strata starts: leave it out")
    return MappingProxyType(fields.read_table(raw, readers))


def _directives(raw: object) -> Mapping[str, tuple[str, ...]]:
    if not isinstance(raw, dict):
        raise InvalidArgument("must be a table of directives")
    return MappingProxyType({name: _directive_values(name, value) for name, value in raw.items()})


def _directive_values(name: str, value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    return tuple(_directive_value(name, item) for item in items)


def _directive_value(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return str(value)
    try:
        line = fields.text(value)
    except InvalidArgument as error:
        raise fields.FieldError(name, error.message) from error
    return fields.placed(line) if line else ""


_MANIFEST: Mapping[str, fields.Reader] = {
    "description": fields.text,
    "command": fields.command,
    "type": fields.choice("notify", "exec"),
    "after": fields.name_list,
    "socket": _socket,
    "health": _health,
    "restart": _restart,
    "limits": _limits,
    "activation": fields.choice("always", "on-demand"),
    "profile": fields.choice("plain", "sealed", "machine"),
    "state_directory": fields.boolean,
    "environment": fields.environment,
    "credentials": fields.credentials,
    "start_timeout": fields.seconds,
    "stop_timeout": fields.seconds,
    "unit": _unit,
}


def parse(text: str, name: str, source: str, core: bool = False) -> Manifest:
    """Read one manifest. `name` is the service's (a file's stem), `source` stands in errors.

    Raises ManifestError for anything that is not a complete, consistent manifest.
    """
    try:
        _check_name(name, core)
        given = fields.read_table(tomllib.loads(text), _MANIFEST, required=("command",))
        manifest = Manifest(name=name, source=source, core=core, **_in_seconds(given, "start_timeout", "stop_timeout"))
        _consistent(manifest)
        contract.check(manifest)
    except fields.FieldError as error:
        raise ManifestError(source, error.key, error.problem) from error
    except InvalidArgument as error:
        raise ManifestError(source, "", error.message) from error
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise ManifestError(source, "", f"it is not TOML: {error}") from error
    return manifest


def _check_name(name: str, core: bool) -> None:
    names.check_name(name)
    if not core and name in names.CORE:
        raise InvalidArgument(f"{name} is the name of a core service: rename the file")


def _consistent(manifest: Manifest) -> None:
    if manifest.name in manifest.after:
        raise fields.FieldError("after", "names the service itself: leave it out")
    if manifest.activation == "on-demand" and manifest.socket is None:
        raise fields.FieldError("activation", "on-demand needs a [socket] that wakes the service: add one")
    if manifest.health and manifest.health.kind == "watchdog" and manifest.type != "notify":
        raise fields.FieldError("health.kind", 'watchdog needs type = "notify" and a program that calls sd_notify(3)')
    if "Socket" in manifest.unit and manifest.socket is None:
        raise fields.FieldError("unit.Socket", "needs a [socket] with listen: add one")


def load(path: str | os.PathLike[str], core: bool = False) -> Manifest:
    """Read the manifest in a file; the service has the file's name without `.toml`. Raises ManifestError."""
    source = os.fspath(path)
    try:
        text = _contents(source).decode()
    except OSError as error:
        raise ManifestError(source, "", f"it cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(source, "", f"it is not UTF-8 at byte {error.start}: save it as UTF-8") from error
    return parse(text, Path(source).name.removesuffix(".toml"), source, core)


def _contents(source: str) -> bytes:
    # Not blocking, for a pipe among the manifests must not hold up the others.
    with open(source, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise ManifestError(source, "", "it is not a regular file")
        if about.st_mode & stat.S_IWOTH:
            raise ManifestError(source, "", "anyone may write it, and so run commands: chmod o-w it")
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ManifestError(source, "", f"it is larger than {MAX_BYTES // 1024} KiB: make it smaller")
    return raw


def load_core(core: CoreSettings = DEFAULTS.core) -> tuple[Manifest, ...]:
    """The core services that are to run, in the order in which they start."""
    return tuple(manifest for manifest in _core() if getattr(core, manifest.name))


@functools.cache
def _core() -> tuple[Manifest, ...]:
    """Read once: an upgrade may take the files away, or put others there, which are for its own code."""
    return order([load(path, core=True) for path in sorted(CORE_DIRECTORY.glob("*.toml"))])


def load_directory(directory: str | os.PathLike[str]) -> tuple[list[Manifest], list[ManifestError]]:
    """Every `*.toml` of the users' directory, and what is wrong with those that cannot be used.

    A directory that is not there holds no manifests.
    """
    try:
        found = sorted(entry for entry in os.listdir(directory) if entry.endswith(".toml") and entry[0] != ".")
    except FileNotFoundError:
        return [], []
    except OSError as error:
        return [], [ManifestError(os.fspath(directory), "", f"the directory cannot be read: {error.strerror}")]
    manifests: list[Manifest] = []
    errors: list[ManifestError] = []
    for entry in found:
        try:
            manifests.append(load(os.path.join(directory, entry)))
        except ManifestError as error:
            errors.append(error)
    return manifests, errors


def order(manifests: Iterable[Manifest]) -> tuple[Manifest, ...]:
    """Dependencies first, otherwise as given. Raises ManifestError for a dependency that is not there or a cycle."""
    by_name = {manifest.name: manifest for manifest in manifests}
    for manifest in by_name.values():
        for wanted in manifest.after:
            if wanted not in by_name:
                raise ManifestError(
                    manifest.source, "after", f"names {wanted}, which is no service{_hint(wanted, by_name)}"
                )
    sorter = graphlib.TopologicalSorter({name: manifest.after for name, manifest in by_name.items()})
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        circle: list[str] = error.args[1]
        raise ManifestError(
            by_name[circle[0]].source, "after", f"goes in a circle: {' → '.join(reversed(circle))}"
        ) from error
    return tuple(by_name[name] for name in _stable(sorter, list(by_name)))


def _stable(sorter: graphlib.TopologicalSorter[str], given: list[str]) -> list[str]:
    done: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=given.index)
        sorter.done(*ready)
        done += ready
    return done


def _hint(wanted: str, known: Mapping[str, object]) -> str:
    return fields.suggestion(wanted, known)
