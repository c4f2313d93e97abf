# SPDX-License-Identifier: MIT
"""Settings of one node: `strata.toml` in the configuration directory, decoded once, strictly, at the door."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping

import msgspec

from strata import values
from strata.errors import InvalidArgument
from strata.paths import Paths
from strata.settings import (
    CORE_NEEDS,
    DAY,
    DEFAULTS,
    ApiSettings,
    CoreSettings,
    FsSettings,
    IdentitySettings,
    LimitSettings,
    OperatorSettings,
    OwnerSettings,
    SandboxSettings,
    Settings,
    TemplateSettings,
)

__all__ = [
    "CORE_NEEDS",
    "DEFAULTS",
    "DRIVERS",
    "FILE_NAME",
    "NETWORKS",
    "VARIABLES",
    "ApiSettings",
    "CoreSettings",
    "FsSettings",
    "IdentitySettings",
    "LimitSettings",
    "OperatorSettings",
    "OwnerSettings",
    "SandboxSettings",
    "Settings",
    "TemplateSettings",
    "check_limits",
    "is_loopback",
    "limits_of",
    "load",
]

FILE_NAME = "strata.toml"
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
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
# By number: a name that begins with 127. is whatever the DNS says.
_LOOPBACK = re.compile(r"127(?:\.(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}")


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
    for wrong in (
        *(_wrong_node(settings), _wrong_core(settings.core), _wrong_operators(settings.operators)),
        *(_wrong_identity(settings.identity), _wrong_api(settings.api)),
    ):
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


def _wrong_core(core: CoreSettings) -> str:
    """Who is needed by one that is to run may not be left out."""
    for name in CORE_NEEDS:
        needed_by = [other for other, needs in CORE_NEEDS.items() if name in needs and getattr(core, other)]
        if needed_by and not getattr(core, name):
            others = ", ".join(needed_by)
            verb = "needs" if len(needed_by) == 1 else "need"
            return f"core.{name} = false: {others} {verb} it; leave it out, or set {_false(needed_by)} too"
    return ""


def _false(names: list[str]) -> str:
    return " and ".join(f"core.{name} = false" for name in names)


def _wrong_operators(operators: OperatorSettings) -> str:
    for name in operators.groups:
        if not name or name.isdigit() or any(ch.isspace() or not ch.isprintable() or ch in ":," for ch in name):
            return f"operators.groups has {name!r}, which is no name of a group; numbers belong into operators.gids"
    if any(number < 0 for number in (*operators.uids, *operators.gids)):
        return "operators.uids and operators.gids must be numbers from 0 on"
    return ""


def _wrong_file(key: str, path: str) -> str:
    """What systemd reads for us (LoadCredential=, systemd.exec(5)) it finds by its absolute path alone."""
    if path and (not os.path.isabs(path) or not path.isprintable()):
        return f"{key} must be an absolute path, and is {path!r}"
    return ""


def _wrong_identity(identity: IdentitySettings) -> str:
    if not 0 < identity.default_ttl_seconds <= identity.max_ttl_seconds:
        return "identity.default_ttl_seconds must lie between 1 and identity.max_ttl_seconds"
    if identity.max_ttl_seconds > 3650 * DAY:
        return "identity.max_ttl_seconds must be at most ten years"
    if identity.key_overlap_seconds < identity.max_ttl_seconds:
        return "identity.key_overlap_seconds must be at least identity.max_ttl_seconds, or live tokens would die early"
    return _wrong_file("identity.key_file", identity.key_file)


def _wrong_api(api: ApiSettings) -> str:
    _, colon, port = api.address.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or not 0 < int(port) < 65_536:
        return f"api.address {api.address!r} must be HOST:PORT, such as 127.0.0.1:2280"
    if api.insecure_no_auth and not is_loopback(api.address):
        return f"api.insecure_no_auth is for loopback addresses only, and api.address is {api.address!r}"
    if bool(api.tls_certificate) != bool(api.tls_key):
        given, missing = ("tls_certificate", "tls_key") if api.tls_certificate else ("tls_key", "tls_certificate")
        return f"api.{given} needs api.{missing}: set both for TLS, or neither"
    return _wrong_file("api.tls_certificate", api.tls_certificate) or _wrong_file("api.tls_key", api.tls_key)


def is_loopback(address: str) -> bool:
    """Whether HOST:PORT can be reached from this machine alone."""
    host = address.rpartition(":")[0]
    return host in ("localhost", "::1", "[::1]") or _LOOPBACK.fullmatch(host) is not None


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
    _check_tools("sandbox.tools", sandbox.tools)
    check_limits("sandbox.limits", sandbox.limits)
    for name, template in sandbox.templates.items():
        _check_template(f"sandbox.templates.{name}", template)


def _check_template(key: str, template: TemplateSettings) -> None:
    if template.network:
        _one_of(f"{key}.network", template.network, NETWORKS)
    if template.ttl:
        _readable(f"{key}.ttl", template.ttl, values.microseconds)
    _check_tools(f"{key}.tools", template.tools or ())
    limits_of(LimitSettings(), template.limits, f"{key}.limits")


def _check_tools(key: str, tools: tuple[str, ...]) -> None:
    for tree in tools:
        below = tree.startswith(("/nix/store/", "/run/current-system/")) and "/../" not in f"{tree}/"
        if not below or ":" in tree or not tree.isprintable():  # it stands in a PATH
            raise InvalidArgument(f"{key}: {tree!r} must be a directory below /nix/store, which sessions see")


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
        _readable(
            f"{key}.cpu_quota", limits.cpu_quota, lambda text: values.permyriad(text, limit=values.UNBOUNDED_SHARE)
        )
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
