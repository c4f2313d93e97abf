# SPDX-License-Identifier: MIT
"""Manifest to unit text. The templates are the only place where a unit is written down."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import jinja2
import msgspec

from strata.config import LimitSettings, OwnerSettings
from strata.errors import InvalidArgument
from strata.units import contract, names
from strata.units.context import Context
from strata.units.model import Manifest, UnitText, Verbatim
from strata.units.text import quote

__all__ = [
    "UnitText",
    "declared",
    "digest",
    "render",
    "render_owner",
    "render_scope",
    "render_slice",
    "render_supervisor",
]

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
# Now: who renders later may do so when an upgrade has taken them away, or put others there.
_SOURCES = {path.name: path.read_text(encoding="utf-8") for path in TEMPLATES.glob("*.j2")}
SUPERVISOR_STOP_SEC = 120.0

_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


def render(manifest: Manifest, context: Context) -> tuple[UnitText, ...]:
    """The service's unit and, if it declares a socket, the socket's. Raises InvalidArgument for a value that cannot be
    written into a unit."""
    marks = {unit.name: digest([unit]) for unit in _texts(manifest, context, {})}
    return _texts(manifest, context, marks)


def _texts(manifest: Manifest, context: Context, marks: Mapping[str, str]) -> tuple[UnitText, ...]:
    fill = Filler(manifest, context)
    service = names.service_unit(manifest.name, manifest.core, "service")
    socket = names.service_unit(manifest.name, manifest.core, "socket") if manifest.socket else ""
    given = {
        "manifest": manifest,
        "context": context,
        "service": service,
        "socket": socket,
        "unit": fill.verbatim(manifest.unit),
        "command": [fill(word) for word in manifest.command],
        "environment": {key: fill(value) for key, value in manifest.environment.items()},
        "credentials": {key: path for key, value in manifest.credentials.items() if (path := fill(value))},
        "listen": fill(manifest.socket.listen) if manifest.socket else "",
        "after": [_dependency(name) for name in manifest.after],
        "declared": declared(manifest),
        "mark": marks.get,
    }
    texts = [UnitText(service, _template("service.j2", given))]
    if socket:
        texts.append(UnitText(socket, _template("socket.j2", given)))
    return tuple(texts)


def _dependency(name: str) -> str:
    return names.service_unit(name, name in names.CORE, "service")


def render_slice(context: Context) -> UnitText:
    """`strata.slice`, which everything of Strata runs below."""
    return UnitText(names.SLICE, _template("slice.j2", {"context": context}))


def render_supervisor(context: Context, persistent: bool = False) -> UnitText:
    """The supervisor's own unit: transient, as `up` starts it, or `persistent`, as it lies on the disk.

    A persistent one starts at boot and names no settings: those are read from strata.toml at each start.
    """
    given = {
        "context": msgspec.structs.replace(context, node_id="", settings=()) if persistent else context,
        "stop_sec": SUPERVISOR_STOP_SEC,
        "service": names.SUPERVISOR,
        "persistent": persistent,
        "directories": [*(_sockets_directory(context) if persistent else ()), "strata-supervisor"],
    }
    return UnitText(names.SUPERVISOR, _template("supervisor.j2", given))


def _sockets_directory(context: Context) -> tuple[str, ...]:
    """The sockets' directory as RuntimeDirectory= names it, where systemd can make it; elsewhere somebody else must."""
    inside = context.runtime_dir.removeprefix(context.run + "/")
    makable = inside != context.runtime_dir and ":" not in inside  # a colon makes a symbolic link
    return (word(inside),) if makable else ()


def render_scope(scope: str, owner_slice: str, label: str, limits: LimitSettings, lifetime_sec: float) -> UnitText:
    """The unit of one session; `lifetime_sec` 0 sets no end."""
    given = {"scope": scope, "slice": owner_slice, "label": label, "limits": limits, "lifetime_sec": lifetime_sec}
    return UnitText(scope, _template("scope.j2", given))


def render_owner(owner_slice: str, owner: str, limits: OwnerSettings) -> UnitText:
    """The slice of all sessions of one owner."""
    return UnitText(
        owner_slice, _template("sandbox_slice.j2", {"slice": owner_slice, "owner": owner, "limits": limits})
    )


def digest(texts: Iterable[UnitText]) -> str:
    """SHA-256 over names and texts, in hex: changes when anything of the units changes.

    `render` writes it into each unit as LogExtraFields=STRATA_UNIT=, computed before it is in there.
    """
    hasher = hashlib.sha256()
    for unit in texts:
        hasher.update(f"{unit.name}\0{unit.text}\0".encode())
    return hasher.hexdigest()


def declared(manifest: Manifest) -> str:
    """SHA-256 over what a manifest says to systemd, wherever it lies and whatever units are made of it, in hex.

    It stands in the service as LogExtraFields=STRATA_MANIFEST=. Checks that the supervisor makes itself are not in it:
    they can be others while the service runs on.
    """
    health = manifest.health if manifest.health and manifest.health.kind == "watchdog" else None
    said = msgspec.structs.replace(manifest, source="", health=health)
    return hashlib.sha256(msgspec.json.encode(said, enc_hook=dict, order="deterministic")).hexdigest()


class Filler:
    """Puts the values of placeholders such as `${runtime_dir}` into a manifest's text; other `${…}` stay as written."""

    def __init__(self, manifest: Manifest, context: Context) -> None:
        self.known = {**context.placeholders(), "name": manifest.name}

    def __call__(self, text: str) -> str:
        return _PLACEHOLDER.sub(lambda match: self.known.get(match[1], match[0]), text)

    def verbatim(self, unit: Verbatim) -> dict[str, list[tuple[str, str]]]:
        """Section to (directive, value), with `%` in the values of placeholders written so that it stays one."""
        known = {key: value.replace("%", "%%") for key, value in self.known.items()}
        return {
            section: [
                (name, _PLACEHOLDER.sub(lambda match: known.get(match[1], match[0]), value))
                for name, listed in unit.get(section, {}).items()
                for value in listed
            ]
            for section in contract.SECTIONS
        }


def _template(name: str, given: dict[str, object]) -> str:
    return _environment().get_template(name).render(given)


@functools.cache
def _environment() -> jinja2.Environment:
    # Unit files are not HTML: `single_line` below is what keeps a value from becoming a line of its own.
    environment = jinja2.Environment(  # noqa: S701
        loader=jinja2.DictLoader(_SOURCES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=single_line,
    )
    environment.filters.update(argv=argv, word=word, span=span, literal=literal, octal="{:04o}".format)
    return environment


def single_line(value: object) -> object:
    """Refuses a value that would end the line it is written in, or that systemd would read as a continuation: newer
    ones take away the spaces behind it first."""
    text = str(value)
    if any(ord(character) < 32 for character in text) or text.rstrip().endswith("\\"):
        raise InvalidArgument(
            f"cannot write {text!r} into a unit: it must be one line that does not end in a backslash"
        )
    return value


def word(value: str) -> str:
    """One word of a list, quoted (systemd.syntax(7)), its `%` kept from being a specifier."""
    return quote(value).replace("%", "%%")


def argv(command: list[str]) -> str:
    """A command line that passes exactly these words: neither `$` nor `%` means anything in them."""
    return " ".join(_argument(item) for item in command)


def _argument(item: str) -> str:
    return ('""' if not item else '";"' if item == ";" else word(item)).replace("$", "$$")


def literal(value: str) -> str:
    """Free text such as a description, its `%` kept from being a specifier."""
    return value.replace("%", "%%")


def span(seconds: float) -> str:
    """A time span, to the microsecond (systemd.time(7))."""
    micros = round(seconds * 1_000_000)
    return f"{micros // 1_000_000}s" if micros % 1_000_000 == 0 else f"{micros}us"
