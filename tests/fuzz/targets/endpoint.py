# SPDX-License-Identifier: MIT
"""strata/registry/endpoint.py and the registry's table: an endpoint is read as one thing or refused."""

from __future__ import annotations

import ipaddress
import os
import tempfile
from pathlib import Path

from targets.shape import Taken

from strata.errors import InvalidArgument, NotFound, ResourceExhausted
from strata.registry import endpoint
from strata.registry.store import FileStore
from strata.registry.table import Entry, Table

INSTRUMENT = ("strata.registry",)
SEEDS = (
    b"unix:///run/strata/fs.sock", b"/run/x.sock", b"tcp://localhost:80", b"tcp://[::1]:65535", b"tcp://a.b-c.d_e.:1",
    b"tcp://[fe80::1%eth0]:9", b"tcp://[::ffff:1.2.3.4]:5", b"tcp://u@h:1/x?y#z", b"unix:relative", b"tcp://:80",
    b"\xff\x01\x02/run/a\xff\x01\x05\x03/run/b\xff\x02\x00\x04\x05\x01",
)  # fmt: skip
DICTIONARY = (
    b"unix://",
    b"tcp://",
    b"://",
    b"[::1]",
    b":0",
    b":65536",
    b"localhost",
    b"\xff",
    b"%",
    b"..",
    b"\\",
    b"\xc2\xa0",
)


def check(data: bytes) -> None:
    """One endpoint; or, behind a first byte that no text has, what is done to a table."""
    if data[:1] == b"\xff":
        _table(Taken(data[1:]))
        return
    text = data.decode("utf-8", "replace")
    try:
        found = endpoint.parse(text)
    except InvalidArgument:
        return
    assert text.isprintable()
    if isinstance(found, endpoint.Unix):
        assert found.path.startswith("/")
        assert endpoint.parse(f"unix://{found.path}") == endpoint.parse(found.path) == found
        return
    assert 0 < found.port < 65536
    assert "/" not in found.host
    assert "@" not in found.host
    shown = f"[{found.host}]" if ":" in found.host else found.host
    assert endpoint.parse(f"tcp://{shown}:{found.port}") == found
    if ":" in found.host:
        ipaddress.IPv6Address(found.host)


_DIRECTORY = tempfile.TemporaryDirectory(prefix="strata-fuzz-table-")
_NAMES = ("a", "b", "c", "d", "e", "f")


def teardown() -> None:
    _DIRECTORY.cleanup()


def _table(taken: Taken) -> None:
    """Against a dictionary that does the same; what is loaded again is what was kept."""
    file = Path(_DIRECTORY.name) / f"{os.getpid()}.json"
    file.unlink(missing_ok=True)
    now = [0.0]
    table, model = Table(FileStore(file, Entry), lambda: now[0]), dict[str, Entry]()
    while taken:
        step, name = taken.byte() % 6, taken.choice(_NAMES)
        unit = taken.choice((None, "u.service", "v.service"))
        if step < 2:
            lease = taken.choice((None, 1.0, 5.0))
            entry = Entry(name, taken.text(), 1, 0, unit, table.deadline(lease))
            table.put(entry)
            model[name] = entry
        elif step == 2:
            _same(lambda name=name: table.remove(name), model, {name} if _alive(model, name, now[0]) else set())  # type: ignore[misc]
        elif step == 3:
            gone = {key for key, entry in model.items() if entry.unit == unit and _alive(model, key, now[0])}
            _same(lambda unit=unit: table.remove_unit(unit or ""), model, gone if unit else set())  # type: ignore[misc]
            if unit and gone:
                for key in [key for key, entry in model.items() if entry.unit == unit]:
                    del model[key]
        elif step == 4:
            now[0] += taken.byte() / 16
        else:
            table.expire()
            model = {key: entry for key, entry in model.items() if _alive(model, key, now[0])}
        alive = sorted(key for key in model if _alive(model, key, now[0]))
        assert [entry.service for entry in table.live()] == alive
        again = Table(FileStore(file, Entry), lambda: now[0])
        assert [*again.live()] == [*table.live()]
        for key in alive:
            assert table.answer(key)["endpoint"] == model[key].endpoint


def _alive(model: dict[str, Entry], name: str, now: float) -> bool:
    found = model.get(name)
    return found is not None and (found.deadline is None or found.deadline > now)


def _same(work: object, model: dict[str, Entry], gone: set[str]) -> None:
    try:
        work()  # type: ignore[operator]
    except NotFound:
        assert not gone
    except ResourceExhausted as error:
        raise AssertionError("the disk is not full") from error
    else:
        assert gone
        for key in gone:
            del model[key]
