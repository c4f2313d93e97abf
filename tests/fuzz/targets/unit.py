# SPDX-License-Identifier: MIT
"""strata/units/render.py: hostile values of a manifest stay values, and never become a directive."""

from __future__ import annotations

import functools
import json
from typing import Any

from targets.shape import Taken
from targets.unit_shape import PLACES, fits

from strata.errors import InvalidArgument
from strata.units import manifest, properties, render, text
from strata.units.context import Context
from strata.units.manifest import ManifestError
from strata.units.model import Manifest, UnitText

INSTRUMENT = ("strata.units",)
_VERBATIM = (
    *(
        ("Service", name)
        for name in ("Environment", "ExecStartPre", "BindPaths", "StandardOutput", "UMask", "ExecReload")
    ),
    *(("Unit", name) for name in ("Documentation", "ConditionPathExists", "Before", "OnFailure")),
    *(("Socket", name) for name in ("ListenDatagram", "ExecStopPost", "SmackLabel")),
)
SEEDS = (
    b"a service\xff/bin/echo\xffhello\xffa b\xff/run/x.sock\xffvalue\xffcred\xff/etc/key\xff\x01-x /y\xff",
    b'50% $HOME\xff/bin/sh\xff-c\xff"$A" \\\xff${runtime_dir}/x\xff%n "q"\xffc.d\xff${state_dir}/k\xff\x00A="b c"\xff',
    b"x\\\xff/bin/;\xff;\xff'\xff[::]:80\xff\\x20\xff k\xff/a:b\xff\x0b/run/y\xff",
    b"[Service]\xff/a\nb\xff\x01\xff\r\n\xff/x\xffa\nExecStart=/evil\xffn\xff/p\xff\x07/etc\xff",
)
DICTIONARY = (
    *(
        b"\nExecStart=/x",
        b"\n[Service]\n",
        b"\\\n",
        b"\\",
        b"\r",
        b"%%",
        b"%n",
        b"%",
        b"$$",
        b"${name}",
        b"${x}",
        b"\xff",
    ),
    *(b'"', b"'", b";", b"\\x0a", b"\\n", b"#", b" ", b"\xc2\xa0", b"\xe2\x80\xa8", b"\xc2\x85", b"\x0b", b"\x0c"),
)


def check(data: bytes) -> None:
    """Every piece is a value; beside the manifest stands one of the same shape with plain values."""
    taken = Taken(data)
    said = {
        "description": taken.text(),
        "command": [taken.text(), taken.text(), taken.text()],
        "socket": {"listen": taken.text()},
        "environment": {"NAME": taken.text()},
        "credentials": {taken.text(): taken.text()},
    }
    section, name = taken.choice(_VERBATIM)
    verbatim = taken.text()
    place = taken.choice(PLACES)
    _told(said, place)
    hostile = _units(said | {"unit": {section: {name: [verbatim, verbatim]}}}, place)
    if hostile:
        plain = _plain(bool(said["description"]), section, name, bool(verbatim), PLACES.index(place))
        assert _shapes(hostile) == plain, (hostile, plain)


@functools.cache
def _plain(described: bool, section: str, name: str, set_at_all: bool, place: int) -> list[list[tuple[str, str]]]:
    plain = {
        "description": "plain" if described else "",
        "command": ["/plain", "plain", "plain"],
        "socket": {"listen": "/plain"},
        "environment": {"NAME": "plain"},
        "credentials": {"plain": "/plain"},
        "unit": {section: {name: ["plain" if set_at_all else ""] * 2}},
    }
    return _shapes(render.render(_read(plain), PLACES[place]))


def _shapes(units: tuple[UnitText, ...]) -> list[list[tuple[str, str]]]:
    return [[(found.section, found.name) for found in text.parse(unit.text)] for unit in units]


def _units(said: dict[str, Any], place: Context) -> tuple[UnitText, ...]:
    """Read at the door and rendered; none when it was refused on the way."""
    try:
        return render.render(_read(said), place)
    except InvalidArgument:
        return ()


def _read(said: dict[str, Any]) -> Manifest:
    return manifest.parse(_toml(said), "fuzz", "fuzz.toml")


def _toml(said: dict[str, Any], name: str = "") -> str:
    """A table as TOML."""
    lines = [f"[{name}]"] if name else []
    lines += [f"{_string(key)} = {_value(value)}" for key, value in said.items() if not isinstance(value, dict)]
    inner = [(f"{name}.{key}" if name else key, value) for key, value in said.items() if isinstance(value, dict)]
    return "\n".join((*lines, *(_toml(value, key) for key, value in inner)))


def _value(value: str | list[str]) -> str:
    return _string(value) if isinstance(value, str) else f"[{', '.join(map(_string, value))}]"


def _string(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _told(said: dict[str, Any], place: Context) -> None:
    """Without what is verbatim: what systemd is told is what the manifest says, to the letter."""
    try:
        found = _read(said)
    except ManifestError:
        return
    try:
        units = render.render(found, place)
    except InvalidArgument:
        return
    fill = render.Filler(found, place)
    service = {one.name: one for one in properties.encode(units[0], place.systemd_version).properties}
    ((path, argv, failing),) = service["ExecStart"].value
    assert argv == [fill(word).replace("$", "$$") for word in found.command], (argv, found.command)
    assert path == argv[0]
    assert not failing
    ((given, credential),) = service["LoadCredential"].value
    assert {given: credential} == {key: fill(value).strip(" ") for key, value in found.credentials.items()}
    told = properties.encode(units[0], place.systemd_version).properties
    environment = [word for one in told if one.name == "Environment" for word in one.value]
    assert f"NAME={fill(found.environment['NAME'])}" in environment
    if found.description:
        assert service.get("Description", service["ExecStart"]).value == found.description.strip(" ") or not (
            found.description.strip(" ")
        )
    socket = properties.encode(units[1], place.systemd_version).properties
    assert found.socket
    assert [one.value for one in socket if one.name == "Listen"] == [[("Stream", fill(found.socket.listen).strip(" "))]]
    assert all(fits(one.signature, one.value) for one in (*told, *socket))
