# SPDX-License-Identifier: MIT
"""Names that become units, slices, descriptors, journal fields and paths: no two things ever share one."""

from __future__ import annotations

import posixpath
from itertools import combinations

from targets.shape import pieces

from strata.errors import InvalidArgument
from strata.sandbox import descriptor_store, ids
from strata.sandbox.ids import Key
from strata.units import names

INSTRUMENT = ("strata.sandbox.ids", "strata.sandbox.descriptor_store", "strata.units.names")
SEEDS = (
    b"alice\xfftask-1\xffalice-task\xff1",
    b"a\xffb-c\xffa-b\xffc",
    b"a.b\xffa_b\xffA.B\xffa-b",
    b"strata-sandbox-a-b.scope\xffstrata-sandbox-a\\x2db-c.scope\xffstrata-svc-x.service\xffstrata-fs.service",
    b"fs\xffregistry\xffsvc-fs\xffsupervisor",
    b"x" * 64 + b"\xff" + b"-" * 64 + b"\xff..\xff.",
)
DICTIONARY = (
    b"\\x2d",
    b"\\x2e",
    b"\\x2f",
    b"-",
    b".",
    b"_",
    b"/",
    b"@",
    b"%",
    b"\xff",
    b"svc-",
    b".scope",
    b".service",
    b"\n",
)


def check(data: bytes) -> None:
    """The pieces are ids, names of services, and names of units."""
    given = list(dict.fromkeys(pieces(data)))[:6]
    keys = [found for owner in given for session in given if (found := _key(owner, session))]
    for one, other in combinations(keys[:36], 2):
        assert one.scope != other.scope, (one, other)
        assert one.label != other.label
        assert (one.slice == other.slice) == (one.owner == other.owner)
        assert not _kept(one, other), (one, other)
        assert not _kept(other, one), (one, other)
    for found in keys:
        _one(found)
    _services(given)
    for text in given:
        _unit(text)


def _key(owner: str, session: str) -> Key | None:
    try:
        return ids.key(owner, session)
    except InvalidArgument:
        return None


def _one(found: Key) -> None:
    assert ids.of_scope(found.scope) == found
    assert len(found.scope) <= ids.LONGEST_UNIT
    for text in (found.scope, found.slice):
        assert text.isascii()
        assert text.isprintable()
        assert "/" not in text
    assert found.slice.startswith("strata-sandbox-")
    for part in found:  # also the name of a directory
        assert posixpath.normpath(posixpath.join("/root", part)) == f"/root/{part}"
        assert names.unescape(names.escape(part)) == part
    full = descriptor_store.name("run", found, "0a1b", "out")
    assert full.split("/") == ["run", *found, "0a1b", "out"]
    assert len(full) <= 255
    assert ":" not in full  # FDNAME=, sd_listen_fds(3)


def _kept(one: Key, other: Key) -> bool:
    """Whether one would take what was kept for the other."""
    return descriptor_store.name("run", other, "0", "out").startswith(descriptor_store.name("run", one, "", "")[:-1])


def _services(given: list[str]) -> None:
    units: dict[str, tuple[str, bool]] = {}
    for name in given:
        for core in (True, False):
            try:
                unit = names.service_unit(name, core, "service")
            except InvalidArgument:
                continue
            if core and name not in names.CORE:
                continue
            assert units.setdefault(unit, (name, core)) == (name, core)
            assert names.service_of(unit) == (name if core or name not in names.CORE else None), unit


def _unit(text: str) -> None:
    """Whatever a unit is called: it is a session's or a service's when it is called exactly as that one's is."""
    key, service = ids.of_scope(text), names.service_of(text)
    assert key is None or key.scope == text
    assert service is None or text.rpartition(".")[0] in (f"strata-{service}", f"strata-svc-{service}")
    assert key is None or service is None
    try:
        assert names.escape(names.unescape(text)) == text or "\\" in text or "-" in text or not _plain(text)
    except InvalidArgument:
        assert "\\" in text


def _plain(text: str) -> bool:
    return bool(text) and set(text.encode()) <= names._PLAIN and text[0] != "."
