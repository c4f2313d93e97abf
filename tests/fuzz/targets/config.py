# SPDX-License-Identifier: MIT
"""strata/{config,values,paths}.py: settings that are accepted can be used; anything else is refused in one sentence."""

from __future__ import annotations

import ipaddress
import tempfile
from pathlib import Path

import msgspec
from targets.shape import Taken

from strata import values
from strata.config import FILE_NAME, VARIABLES, Settings, limits_of, load
from strata.errors import InvalidArgument
from strata.paths import Paths
from strata.units.context import _stream

INSTRUMENT = ("strata.config", "strata.settings", "strata.values", "strata.paths")
SEEDS = (
    b"\x00\x00node_id = 'n'\nlog_level = 'debug'\n[fs]\nstrict_paths = true\n[identity]\nmax_ttl_seconds = 60\n",
    b"\x00\x00[operators]\nuids = [1]\ngroups = ['adm']\n[api]\naddress = '127.0.0.1:80'\ninsecure_no_auth = true\n",
    b"\x00\x00[api]\ntls_certificate = '/c'\ntls_key = '/k'\n[core]\nsandbox = false\napi = false\n",
    b"\x00\x00[sandbox]\nsession_ttl = '5m'\ntools = ['/nix/store/x']\n"
    b"[sandbox.limits]\nmemory_max = '1G'\ncpu_quota = '50%'\n",
    b"\x00\x00[sandbox.templates.small]\nttl = '1h'\nnetwork = 'host'\nlimits = {memory_max = '64M', tasks_max = 9}\n",
    b"\x00\x02\x02127.0.0.1:2280\xff\x03yes\xff",
    *(
        bytes([number]) + text
        for number, text in enumerate((b"1min 5s", b"5ms", b"1.5G", b"12.34%", b"yes", b"0777"), 1)
    ),
)
DICTIONARY = (
    *(name.encode() for name in Settings.__struct_fields__),
    *(b"[sandbox.limits]", b"[sandbox.owner]", b"[sandbox.templates.x]", b"memory_max", b"cpu_quota", b"inodes_max"),
    *(
        b"insecure_no_auth = true",
        b"address = '127.1:80'",
        b"127.0.0.1:",
        b"localhost:",
        b"[::1]:",
        b"infinity",
        b"9" * 50,
    ),
    *(b"nan", b"1e400", b"'", b"\xff", b"\xc2\xb5s", b"months", b"%", b".5", b"0x", b"0b", b"_"),
)
READERS = (
    values.microseconds, values.nanoseconds, values.size, values.permyriad, values.boolean, values.mode,
    values.unsigned32, values.signed64,
)  # fmt: skip
BOUNDS = (2**64 - 1, 2**64 * 1000, 2**64 - 1, 10_000, 1, 0o7777, 2**32 - 1, 2**63 - 1)
_DIRECTORY = tempfile.TemporaryDirectory(prefix="strata-fuzz-config-")


def teardown() -> None:
    _DIRECTORY.cleanup()


def check(data: bytes) -> None:
    """The first byte: 0 is a file and variables, 1 to 8 a single value for one of the readers."""
    taken = Taken(data)
    way = taken.byte() % (len(READERS) + 1)
    if way:
        _value(way - 1, taken.rest())
        return
    env = {taken.choice(tuple(VARIABLES)): taken.text() for _ in range(taken.byte() % 3)}
    try:
        settings = _loaded(taken.rest(), env)
    except InvalidArgument:
        return
    _usable(settings)


def _value(which: int, raw: bytes) -> None:
    text = raw.decode("utf-8", "replace")
    try:
        found = READERS[which](text)
    except InvalidArgument:
        return
    assert -(2**63) <= found <= BOUNDS[which], (text, found)
    if READERS[which] in (values.microseconds, values.size, values.mode):
        assert found >= 0


def _loaded(file: bytes, env: dict[str, str]) -> Settings:
    directory = Path(_DIRECTORY.name)
    (directory / FILE_NAME).write_bytes(file)
    paths = Paths.from_env({"STRATA_CONFIG_DIR": str(directory), "STRATA_RUNTIME_DIR": "/r", "STRATA_STATE_DIR": "/s"})
    return load(paths, env)


def _usable(settings: Settings) -> None:
    assert msgspec.convert(msgspec.to_builtins(settings), Settings) == settings
    if settings.api.insecure_no_auth:
        _loopback(settings.api.address)
    assert 0 < int(_stream(settings.api.address).rpartition(":")[2]) < 65536
    assert "\n" not in settings.node_id
    sandbox = settings.sandbox
    values.size(sandbox.output_max)
    values.microseconds(sandbox.session_ttl)
    for template in sandbox.templates.values():
        limits = limits_of(sandbox.limits, template.limits)
        assert values.size(limits.memory_max) >= 0
        assert values.size(limits.disk_max) >= 0
        assert limits.tasks_max > 0
    for group in settings.operators.groups:
        assert not group.isdigit()


def _loopback(address: str) -> None:
    host = address.rpartition(":")[0].strip("[]")
    assert host == "localhost" or ipaddress.ip_address(host).is_loopback, address
