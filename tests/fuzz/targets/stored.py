# SPDX-License-Identifier: MIT
"""Files that outlive their writer: a damaged one is refused or put aside, in the way that its owner has."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
from targets.shape import Taken

from strata.config import LimitSettings, OwnerSettings
from strata.embedded import record as embedded
from strata.errors import StrataError, Unauthenticated
from strata.identity import keys, seed
from strata.identity.revocations import Revocations
from strata.identity.signer import Signer
from strata.installation import record as installation
from strata.paths import Paths
from strata.policy.token import FORMATS, verify
from strata.registry.store import FileStore
from strata.registry.table import Entry, Table
from strata.sandbox import record
from strata.sandbox.record import Record
from strata.sandbox.snapshots import Snapshot, Snapshots

INSTRUMENT = (
    "strata.embedded.record",
    "strata.identity",
    "strata.installation.record",
    "strata.registry",
    "strata.sandbox.record",
    "strata.sandbox.snapshots",
)
_DIRECTORY = Path(tempfile.mkdtemp(prefix="strata-fuzz-stored-"))
_PATHS = Paths(_DIRECTORY / "run", _DIRECTORY / "state", _DIRECTORY / "config")
_RECORD = Record(
    owner="a", session="b", created_at=1.0, uid_base=1, mapped=True, base="", driver="auto", network="host",
    limits=LimitSettings(), ttl_seconds=1.0, lifetime_seconds=1.0, expires_at=2.0,
)  # fmt: skip
_SNAPSHOT = Snapshot(owner="a", name="s", session="b", created_at=1.0, size=1, files=1, base="")
_EMBEDDED = (
    b'{"runtime_dir":"/r","state_dir":"/s","pid":7,"start_time":9,"cgroups":["/c"],"root":null,"version":252,"made":[]}'
)


def _key(version: str) -> keys._Key:
    raw = version[:2].encode() * 16
    return keys._Key(version, Signer(version, raw).public.raw, raw)


SEEDS = (
    b"\x00" + msgspec.json.encode([Entry("fs", "/run/fs.sock", 1, 0, "u", 5.0)]),
    b"\x01" + msgspec.json.encode(_RECORD),
    b"\x02" + msgspec.json.encode(_SNAPSHOT),
    b'\x03{"revision":1,"max_ttl":60}\n{"cap_id":"c","at":1.5}\n{"cap_id":"d","at":2e9,"family":"c"}\n{"torn',
    b"\x04" + _EMBEDDED,
    b'\x05{"files":["/a"],"directories":["/b"],"complete":true}',
    b"\x06" + b"0" * 64,
    b'\x07{"keys":[]}',
    b"\x07" + msgspec.json.encode(keys._File(tuple(_key(version) for version in FORMATS))),
    *(bytes([way]) + b"[" * 2000 for way in range(8)),
    *(bytes([way]) + b'{"x":' * 2000 for way in range(8)),
)
DICTIONARY = (
    b"null",
    b"true",
    b"1e999",
    b"-1",
    b"9" * 40,
    b'"revision":',
    b'"max_ttl":',
    b'"cap_id":',
    b'"at":',
    b"\xff",
    b"\\ud800",
)


def setup() -> None:
    for directory in _PATHS:
        directory.mkdir()
    (_DIRECTORY / "snapshots" / "a" / "s").mkdir(parents=True)
    logging.getLogger("strata").setLevel(logging.CRITICAL + 1)


def teardown() -> None:
    shutil.rmtree(_DIRECTORY)


def check(data: bytes) -> None:
    """The first byte chooses the file, the rest is what is in it."""
    taken = Taken(data)
    read = taken.choice((_table, _session, _snapshot, _revocations, _embedded, _installation, _seed, _keys))
    read(taken.rest())


def _written(name: str, content: bytes) -> Path:
    path = _DIRECTORY / name
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def _refused_or(work: Callable[[], object]) -> object:
    try:
        return work()
    except StrataError as error:
        refused = error
    assert refused.message.startswith("cannot ")
    return None


def _table(content: bytes) -> None:
    """What is damaged is moved aside, and the table begins empty."""
    path = _written("table.json", content)
    store = FileStore(path, Entry)
    table = Table(store, lambda: 0.0)
    assert store.fresh == (not path.exists())
    if store.fresh:
        assert path.with_suffix(".damaged").read_bytes() == content
        assert not table.live()
    for entry in table.live():
        assert table.answer(entry.service)["endpoint"] == entry.endpoint


def _session(content: bytes) -> None:
    _written(record.FILE, content)
    found = record.load(_DIRECTORY)
    if isinstance(found, Record):
        assert found.key
        record.save(_DIRECTORY, found)
        assert record.load(_DIRECTORY) == found
    if found:
        record.still_runs(found)


def _snapshot(content: bytes) -> None:
    _written("snapshots/a/s/snapshot.json", content)
    snapshots = Snapshots(_DIRECTORY / "snapshots", OwnerSettings())
    assert len(snapshots.of("a")) <= 1
    found = _refused_or(lambda: asyncio.run(_used(snapshots))) if snapshots.of("a") else None
    assert found is None or all(str(one).startswith(f"{_DIRECTORY}/snapshots/a/") for one in found)  # type: ignore[attr-defined]


async def _used(snapshots: Snapshots) -> tuple[str, ...]:
    with snapshots.used("a", "s") as stack:
        return stack.layers


def _revocations(content: bytes) -> None:
    """What it has read it still has when it is opened again, whatever the end of the file was."""
    path = _written("revocations.jsonl", content)

    def opened() -> tuple[int, set[str]]:
        found = Revocations(path, 60, lambda: 1e9)
        found.close()
        assert found.revision >= 1
        page = found.page(0)
        assert set(page.cap_ids) <= found.cap_ids()
        return found.revision, found.cap_ids()

    first = _refused_or(opened)
    if first is not None:
        assert opened() == first


def _embedded(content: bytes) -> None:
    path = embedded.path_of(_PATHS.runtime_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    found = _refused_or(lambda: embedded.read(_PATHS))
    if found:
        embedded.start_time(found.pid)  # type: ignore[attr-defined]


def _installation(content: bytes) -> None:
    (_PATHS.state_dir / installation.NAME).write_bytes(content)
    found = _refused_or(lambda: installation.read(_PATHS))
    if found:
        installation.write(_PATHS, found)  # type: ignore[arg-type]
        assert installation.read(_PATHS) == found


def _seed(content: bytes) -> None:
    _written(seed.CREDENTIAL, content)
    found = _refused_or(lambda: seed.handed_over(str(_DIRECTORY)))
    assert found is None or len(found) == 32  # type: ignore[arg-type]


def _keys(content: bytes) -> None:
    """No damage makes new keys: every token would end."""
    path = _written(keys.FILE, content)
    found = _refused_or(lambda: keys.KeyStore(_DIRECTORY, 60))
    assert path.read_bytes() == content
    if isinstance(found, keys.KeyStore):
        assert len(found.current()) == 2
        for version in FORMATS:
            with contextlib.suppress(Unauthenticated):
                verify(f"{version}.{'A' * 100}", found.verifying())
