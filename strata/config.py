# SPDX-License-Identifier: MIT
"""Settings of one node: `strata.toml` in the configuration directory, decoded once, strictly, at the door."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

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


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of `strata.toml`; every key is optional."""

    node_id: str = "local-0"
    log_level: str = "info"
    identity: IdentitySettings = IdentitySettings()
    fs: FsSettings = FsSettings()
    operators: OperatorSettings = OperatorSettings()


def load(paths: Paths, env: Mapping[str, str] | None = None) -> Settings:
    """Read the settings file if there is one; STRATA_NODE_ID and STRATA_LOG_LEVEL override it.

    Raises InvalidArgument naming the file, the key and what was expected.
    """
    env = os.environ if env is None else env
    document = _read(paths)
    for variable, key in (("STRATA_NODE_ID", "node_id"), ("STRATA_LOG_LEVEL", "log_level")):
        if env.get(variable):
            document[key] = env[variable]
    try:
        settings = msgspec.convert(document, Settings)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"cannot use {paths.config_dir / FILE_NAME}: {error}") from error
    _check(settings, paths)
    return settings


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
    identity = settings.identity
    wrong = None
    if not 0 < identity.default_ttl_seconds <= identity.max_ttl_seconds:
        wrong = "identity.default_ttl_seconds must lie between 1 and identity.max_ttl_seconds"
    elif identity.max_ttl_seconds > 3650 * DAY:
        wrong = "identity.max_ttl_seconds must be at most ten years"
    elif identity.key_overlap_seconds < identity.max_ttl_seconds:
        wrong = "identity.key_overlap_seconds must be at least identity.max_ttl_seconds, or live tokens would die early"
    elif settings.log_level not in ("debug", "info", "warning", "error"):
        wrong = "log_level must be debug, info, warning or error"
    elif not settings.node_id or any(ch.isspace() or not ch.isprintable() for ch in settings.node_id):
        wrong = "node_id must be a non-empty word"
    if wrong:
        raise InvalidArgument(f"cannot use the settings ({paths.config_dir / FILE_NAME} or the environment): {wrong}")
