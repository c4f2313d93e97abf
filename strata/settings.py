# SPDX-License-Identifier: MIT
"""What `strata.toml` may say: every key, its type and its default. How it is read and checked is strata.config."""

from __future__ import annotations

import msgspec

DAY = 86_400


class CoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which services of Strata's own run on this node, beside the supervisor."""

    registry: bool = True
    identity: bool = True
    fs: bool = True
    sandbox: bool = True
    api: bool = True


# Whom a core service cannot do without; its manifest is declared after them.
CORE_NEEDS: dict[str, tuple[str, ...]] = {
    "registry": (),
    "identity": ("registry",),
    "fs": ("registry", "identity"),
    "sandbox": ("registry", "identity"),
    "api": ("sandbox",),
}


class FsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the fs service reads paths."""

    strict_paths: bool = False  # true: refuse absolute paths even inside the prefix (spec 1.15)


class IdentitySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the identity service is willing to sign."""

    default_ttl_seconds: int = 3600
    max_ttl_seconds: int = 30 * DAY
    key_overlap_seconds: int = 30 * DAY  # how long a rotated-out key still verifies; at least max_ttl_seconds
    key_file: str = ""  # the signing keys' seed, from outside; "" is keys that identity makes and keeps itself


class OperatorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who, besides root and Strata's own user, may call operator methods without a token."""

    uids: tuple[int, ...] = ()
    gids: tuple[int, ...] = ()
    groups: tuple[str, ...] = ("strata",)  # by name; one that this machine does not have is nobody


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
    tools: tuple[str, ...] | None = None
    limits: dict[str, str | int] = {}
    env: dict[str, str] = {}
    network: str = ""  # isolated or host
    ttl: str = ""


class SandboxSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How sessions are made (spec 2.2 names the first seven). Durations as in systemd.time(7)."""

    base_rootfs: str = ""  # "" is the host's /usr with an /etc of our own
    tools: tuple[str, ...] = ()  # trees below /nix/store whose bin is on PATH inside, where the base is the host's
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
    tls_certificate: str = ""  # file with the certificate and its chain, PEM; "" is a port without TLS
    tls_key: str = ""  # file with its private key, PEM
    allowed_origins: tuple[str, ...] = ()  # web pages that may call, e.g. https://console.example


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of `strata.toml`; every key is optional."""

    node_id: str = "local-0"
    log_level: str = "info"
    core: CoreSettings = CoreSettings()
    identity: IdentitySettings = IdentitySettings()
    fs: FsSettings = FsSettings()
    operators: OperatorSettings = OperatorSettings()
    sandbox: SandboxSettings = SandboxSettings()
    api: ApiSettings = ApiSettings()


DEFAULTS = Settings()
