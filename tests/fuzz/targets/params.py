# SPDX-License-Identifier: MIT
"""strata/sockets/params.py over the method tables of all rooms, and what the rooms then read out of the parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

import msgspec
from targets.shape import Taken, members

from strata.config import LimitSettings, SandboxSettings, TemplateSettings
from strata.errors import InvalidArgument, StrataError
from strata.fs import handlers as fs
from strata.fs import listing, writing
from strata.identity import handlers as identity
from strata.registry import handlers as registry
from strata.sandbox import handlers as sandbox
from strata.sandbox import params_files, plan, wanted
from strata.sandbox.files import inside, layered, places
from strata.sandbox.params_session import CreateParams
from strata.sandbox.record import Record
from strata.sockets import params
from strata.sockets.method import Method
from strata.supervisor import handlers as supervisor

INSTRUMENT = ("strata.sockets.params", "strata.sandbox", "strata.config", "strata.values", "strata.fs")
METHODS: tuple[Method, ...] = tuple(
    method for room in (fs, identity, registry, sandbox, supervisor) for method in room.METHODS
)
SEEDS = (
    *(bytes([number, 0]) + b"{}" for number in range(len(METHODS))),
    *(
        bytes([number, 0])
        + b'{"owner":"a","session":"b","path":"/x","limits":{"memory_max":"1G","cpu_quota":"50%","tasks_max":9.5},'
        b'"ttl":"5m","lifetime":"1h","labels":{"k":"v"},"env":{"A":"b"},"network":"host","template":"small"}'
        for number, method in enumerate(METHODS)
        if method.params is CreateParams
    ),
    *(
        bytes([number, 0]) + b'{"user_id":"a","sid":"b","path_b64":"L3g=","data_b64":"eA==","mode":"0644","size":1e3}'
        for number, method in enumerate(METHODS)
        if issubclass(method.params, params_files.PathParams)
    ),
)
DICTIONARY = (
    *(f'"{field}":'.encode() for method in METHODS for field in method.params.__struct_encode_fields__),
    *(b"null", b"true", b"1e300", b"-1", b'""', b"[]", b"{}", b"9223372036854775808", b'"infinity"', b'"1G"', b'"50%"'),
    *(b'"memory_max":', b'"disk_max":', b'"inodes_max":', b'"files_max":', b'"5m"', b"\\u0000", b"..", b"b64"),
)
WORDS = (
    *("a", "b", "", "x/../y", "/x", "L3g=", "eA==", "1G", "64M", "8M", "infinity", "50%", "99999%", "5m", "1h", "0644"),
    *(
        "host",
        "isolated",
        "small",
        "auto",
        "fuse",
        "kernel",
        "none",
        "memory_max",
        "disk_max",
        "cpu_quota",
        "tasks_max",
    ),
    *("inodes_max", "files_max", "A=b", "TERM", "9", "stdin", "stdout", "\0", "é", "9" * 5000, "9" * 400 + "%", "*"),
)
_SETTINGS = SandboxSettings(
    templates={"small": TemplateSettings(limits={"memory_max": "128M"}, env={"A": "b"}, ttl="5m")}
)
_CHECKED = {str: str, int: int, float: float, bool: bool}


def check(data: bytes) -> None:
    """The first byte chooses a method, the second how the rest says its parameters: as JSON, or in short."""
    taken = Taken(data)
    method = taken.choice(METHODS)
    try:
        raw = _raw(taken, method)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    try:
        found = params.read(method.params, raw)
    except InvalidArgument:
        return
    _typed(found)
    _read_on(method, found)


def _raw(taken: Taken, method: Method) -> dict[str, Any]:
    if taken.byte() % 4 == 0:
        return msgspec.json.decode(taken.rest(), type=dict[str, Any])
    keys = method.params.__struct_encode_fields__ or ("none",)
    said = msgspec.json.encode(members(taken, keys, (*WORDS, *keys)))
    return msgspec.json.decode(said, type=dict[str, Any])


def _typed(found: msgspec.Struct) -> None:
    """Each field has the type that it is declared with: nobody behind the door looks again."""
    hints = get_type_hints(type(found))
    for field in msgspec.structs.fields(type(found)):
        value, kind = getattr(found, field.name), hints[field.name]
        if kind in _CHECKED and value is not field.default:
            assert type(value) is _CHECKED[kind], (field.name, value)
        if field.required and kind is str:
            assert value


def _read_on(method: Method, found: Any) -> None:
    for name in ("key", "whose", "place", "wanted"):
        if hasattr(type(found), name):
            _refused_or(lambda name=name: getattr(found, name))  # type: ignore[misc]
    if isinstance(found, CreateParams):
        for operator in (False, True):
            record = _refused_or(lambda operator=operator: _wanted(found, operator))  # type: ignore[misc]
            if record:
                _bounded(record, operator)
    if isinstance(found, params_files.PathParams):
        _path(found)
    if hasattr(found, "data_b64"):
        _refused_or(lambda: writing.content(found.data, found.data_b64))
    if hasattr(found, "stdin_b64"):
        _refused_or(lambda: plan.given_input(found.stdin, found.stdin_b64))
    if hasattr(found, "cursor"):
        for reader in (listing._after, inside._after, layered._after):
            _refused_or(lambda reader=reader: reader(found.cursor))  # type: ignore[misc]
    if hasattr(found, "mode") and isinstance(found.mode, str) and method.name.startswith("sandbox."):
        mode = _refused_or(lambda: params_files.mode(found.mode))
        assert mode is None or 0 <= mode["mode"] <= 0o7777


def _wanted(found: CreateParams, operator: bool) -> Record:
    return wanted.wanted(found, _SETTINGS, wanted.Fixed(100_000, True, operator))


def _bounded(record: Record, operator: bool) -> None:
    """Who is no operator gets nothing beyond the settings, and what is recorded is read back as it was."""
    assert msgspec.json.decode(msgspec.json.encode(record), type=Record) == record
    usual: LimitSettings = _SETTINGS.limits
    if not operator:
        assert record.limits.tasks_max <= usual.tasks_max
        assert record.limits.files_max <= usual.files_max
        assert record.lifetime_seconds <= 86_400
    assert 0 <= record.ttl_seconds <= 3650 * 86_400
    assert not any("\0" in key + value or "=" in key for key, value in record.env.items())


def _path(found: params_files.PathParams) -> None:
    arguments = _refused_or(lambda: found.place)
    raw = _refused_or(lambda: places.path(arguments)) if arguments else None
    assert raw is None or (raw.startswith(b"/") and b"\0" not in raw)


def _refused_or(work: Callable[[], Any]) -> Any:
    """What it gives, or None when it was refused for what the caller said."""
    try:
        return work()
    except StrataError as error:
        refused = error
    assert refused.code in (1, 3, 4), refused  # never Internal
    assert isinstance(refused.details, Mapping)
    return None
