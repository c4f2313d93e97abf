# SPDX-License-Identifier: MIT
"""Settings of one node: `strata.toml` in the configuration directory, decoded once, strictly, at the door."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import msgspec

from strata import values
from strata.errors import InvalidArgument
from strata.paths import Paths

FILE_NAME = "strata.toml"
DAY = 86_400


class FsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the fs service reads paths."""

    strict_paths: bool = False  # true: refuse absolute paths even inside the prefix (spec 1.15)


class IdentitySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the identity service is willing to sign."""

    default_ttl_seconds: int = 3600
    max_ttl_seconds: int = 30 * DAY
    key_overlap_seconds: int = 30 * DAY  # how long a rotated-out key still verifies; at least max_ttl_seconds


class OperatorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who, besides root and Strata's own user, may call operator methods without a token."""

    uids: tuple[int, ...] = ()
    gids: tuple[int, ...] = ()


class LimitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one session may use. Sizes as in systemd.syntax(7); an empty cpu_quota leaves the share to CPUWeight=."""

    memory_max: str = "1G"
    tasks_max: int = 256
    cpu_quota: str = ""
    disk_max: str = "2G"
    inodes_max: int = 262_144
    files_max: int = 4096  # open files of one process


class OwnerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all sessions of one owner may use together; empty or 0 sets no bound beside those of each session."""

    memory_max: str = ""
    tasks_max: int = 0
    cpu_quota: str = ""
    max_sessions: int = 0
    max_snapshots: int = 32
    snapshots_max: str = "8G"  # on the disk, all of them together


class TemplateSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named way to open sessions: what is left out is as the settings of all sandboxes say."""

    description: str = ""
    base_rootfs: str | None = None
    limits: dict[str, str | int] = {}
    env: dict[str, str] = {}
    network: str = ""  # isolated or host
    ttl: str = ""


class SandboxSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How sessions are made (spec 2.2 names the first seven). Durations as in systemd.time(7)."""

    base_rootfs: str = ""  # "" is the host's /usr with an /etc of our own
    session_root: str = ""  # "" is `sandbox` in the state directory
    session_ttl: str = "30m"  # idle for so long, a session is closed
    max_sessions: int = 100
    isolate_network: bool = True
    overlay_driver: str = "auto"
    output_max: str = "1M"  # of one exec: combined output, stdout, stderr each
    lifetime: str = "24h"  # PID 1 ends a session after that, whatever it does
    limits: LimitSettings = LimitSettings()
    owner: OwnerSettings = OwnerSettings()
    templates: dict[str, TemplateSettings] = {}


class ApiSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The door: REST, WebSocket, MCP and gRPC on one port."""

    address: str = "127.0.0.1:2280"
    insecure_no_auth: bool = False  # everybody who reaches the port may do everything; loopback only
    allowed_origins: tuple[str, ...] = ()  # web pages that may call, e.g. https://console.example


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of `strata.toml`; every key is optional."""

    node_id: str = "local-0"
    log_level: str = "info"
    identity: IdentitySettings = IdentitySettings()
    fs: FsSettings = FsSettings()
    operators: OperatorSettings = OperatorSettings()
    sandbox: SandboxSettings = SandboxSettings()
    api: ApiSettings = ApiSettings()


# Environment variable → key, and how its text is read; each overrides the file.
VARIABLES: dict[str, tuple[str, Callable[[str], object]]] = {
    "STRATA_NODE_ID": ("node_id", str),
    "STRATA_LOG_LEVEL": ("log_level", str),
    "STRATA_SERVER_ADDR": ("api.address", str),
    "STRATA_INSECURE_NO_AUTH": ("api.insecure_no_auth", values.boolean),
    "STRATA_SANDBOX_BASE_ROOTFS": ("sandbox.base_rootfs", str),
    "STRATA_SANDBOX_SESSION_ROOT": ("sandbox.session_root", str),
    "STRATA_SANDBOX_SESSION_TTL": ("sandbox.session_ttl", str),
    "STRATA_SANDBOX_MAX_SESSIONS": ("sandbox.max_sessions", values.Integer(0, 4096, "a number of sessions")),
    "STRATA_SANDBOX_ISOLATE_NETWORK": ("sandbox.isolate_network", values.boolean),
    "STRATA_SANDBOX_OVERLAY_DRIVER": ("sandbox.overlay_driver", str),
}
DRIVERS = ("auto", "fuse", "kernel", "none")
NETWORKS = ("isolated", "host")


def load(paths: Paths, env: Mapping[str, str] | None = None) -> Settings:
    """Read the settings file if there is one; the variables in VARIABLES override it.

    Raises InvalidArgument naming the file or the variable, the key and what was expected.
    """
    env = os.environ if env is None else env
    document = _read(paths)
    for variable, (key, read) in VARIABLES.items():
        if env.get(variable):
            _put(document, key, _value(variable, env[variable], read))
    try:
        settings = msgspec.convert(document, Settings)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"cannot use {paths.config_dir / FILE_NAME}: {error}") from error
    _check(settings, paths)
    return settings


def _value(variable: str, text: str, read: Callable[[str], object]) -> object:
    try:
        return read(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"cannot use {variable}: {error.message}") from error


def _put(document: dict[str, object], key: str, value: object) -> None:
    *sections, name = key.split(".")
    for section in sections:
        inner = document.setdefault(section, {})
        if not isinstance(inner, dict):
            return  # the conversion says what is wrong with it
        document = inner
    document[name] = value


def _read(paths: Paths) -> dict[str, object]:
    file = paths.config_dir / FILE_NAME
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"cannot read {file}: {error}") from error
    import tomllib  # every daemon reads settings; most find no file, and need no parser in memory

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidArgument(f"cannot read {file}: {error}") from error


def _check(settings: Settings, paths: Paths) -> None:
    unusable = f"cannot use the settings ({paths.config_dir / FILE_NAME} or the environment)"
    for wrong in (_wrong_node(settings), _wrong_identity(settings.identity), _wrong_api(settings.api)):
        if wrong:
            raise InvalidArgument(f"{unusable}: {wrong}")
    try:
        _check_sandbox(settings.sandbox)
    except InvalidArgument as error:
        raise InvalidArgument(f"{unusable}: {error.message}") from error


def _wrong_node(settings: Settings) -> str:
    if settings.log_level not in ("debug", "info", "warning", "error"):
        return "log_level must be debug, info, warning or error"
    if not settings.node_id or any(ch.isspace() or not ch.isprintable() for ch in settings.node_id):
        return "node_id must be a non-empty word"
    return ""


def _wrong_identity(identity: IdentitySettings) -> str:
    if not 0 < identity.default_ttl_seconds <= identity.max_ttl_seconds:
        return "identity.default_ttl_seconds must lie between 1 and identity.max_ttl_seconds"
    if identity.max_ttl_seconds > 3650 * DAY:
        return "identity.max_ttl_seconds must be at most ten years"
    if identity.key_overlap_seconds < identity.max_ttl_seconds:
        return "identity.key_overlap_seconds must be at least identity.max_ttl_seconds, or live tokens would die early"
    return ""


def _wrong_api(api: ApiSettings) -> str:
    host, colon, port = api.address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        return f"api.address {api.address!r} must be HOST:PORT, such as 127.0.0.1:2280"
    if api.insecure_no_auth and not _is_loopback(host):
        return f"api.insecure_no_auth is for loopback addresses only, and api.address is {api.address!r}"
    return ""


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1", "[::1]") or host.startswith("127.")


def _check_sandbox(sandbox: SandboxSettings) -> None:
    """Raises InvalidArgument, naming the key."""
    _one_of("sandbox.overlay_driver", sandbox.overlay_driver, DRIVERS)
    for key, text in (("session_ttl", sandbox.session_ttl), ("lifetime", sandbox.lifetime)):
        _readable(f"sandbox.{key}", text, values.microseconds)
    _readable("sandbox.output_max", sandbox.output_max, values.size)
    _readable("sandbox.owner.snapshots_max", sandbox.owner.snapshots_max, values.size)
    for key, directory in (("base_rootfs", sandbox.base_rootfs), ("session_root", sandbox.session_root)):
        if directory and (not os.path.isabs(directory) or "\0" in directory):
            raise InvalidArgument(f"sandbox.{key} must be an absolute path")
    check_limits("sandbox.limits", sandbox.limits)
    for name, template in sandbox.templates.items():
        _check_template(f"sandbox.templates.{name}", template)


def _check_template(key: str, template: TemplateSettings) -> None:
    if template.network:
        _one_of(f"{key}.network", template.network, NETWORKS)
    if template.ttl:
        _readable(f"{key}.ttl", template.ttl, values.microseconds)
    limits_of(LimitSettings(), template.limits, f"{key}.limits")


def limits_of(before: LimitSettings, changes: Mapping[str, str | int], key: str = "limits") -> LimitSettings:
    """`before` with what `changes` names. Raises InvalidArgument for an unknown limit or one that cannot be read."""
    try:
        limits = msgspec.convert(msgspec.to_builtins(before) | dict(changes), LimitSettings)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"{key}: {error}") from error
    check_limits(key, limits)
    return limits


def check_limits(key: str, limits: LimitSettings) -> None:
    """Raises InvalidArgument, naming what cannot be read."""
    for name, text in (("memory_max", limits.memory_max), ("disk_max", limits.disk_max)):
        _readable(f"{key}.{name}", text, values.size)
    if limits.cpu_quota:
        _readable(f"{key}.cpu_quota", limits.cpu_quota, lambda text: values.permyriad(text, limit=None))
    for name, number, least in (
        ("tasks_max", limits.tasks_max, 8),
        ("inodes_max", limits.inodes_max, 64),
        ("files_max", limits.files_max, 16),
    ):
        if not least <= number <= 2**31:
            raise InvalidArgument(f"{key}.{name} must be at least {least}")


def _one_of(key: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        raise InvalidArgument(f"{key} must be one of {', '.join(known)}, and is {word!r}")


def _readable(key: str, text: str, read: Callable[[str], int]) -> None:
    try:
        read(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"{key}: {error.message}") from error
