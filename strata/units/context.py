# SPDX-License-Identifier: MIT
"""Where a unit is to run: everything that is not in the manifest and yet decides what its text says."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from strata import programs
from strata.config import DEFAULTS, VARIABLES, CoreSettings, Settings
from strata.paths import Paths
from strata.units.access import Access, access

Mode: TypeAlias = Literal["system", "user", "embedded"]


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """`code` is how sealed services get to what every service must be able to read.

    `settings` are the variables that override the settings file: who starts Strata sets them for all of it.
    `core` says which core services run here. The three files are handed over as credentials; "" is none.
    `run` is where RuntimeDirectory= makes directories (systemd.exec(5)). `path` is the core's PATH, "" where that
    which systemd gives its units will do.
    """

    mode: Mode
    systemd_version: int
    runtime_dir: str
    state_dir: str
    config_dir: str
    python: str
    code: Access
    node_id: str = "local-0"
    api_address: str = "127.0.0.1:2280"
    core: CoreSettings = CoreSettings()
    identity_key_file: str = ""
    api_tls_certificate: str = ""
    api_tls_key: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    run: str = "/run"
    path: str = ""

    @property
    def private(self) -> bool:
        """May units have users, capabilities and mount namespaces of their own? Not below a user manager."""
        return self.mode != "user"

    def placeholders(self) -> dict[str, str]:
        """What `${…}` in a manifest stands for."""
        return {
            "python": self.python,
            "runtime_dir": self.runtime_dir,
            "state_dir": self.state_dir,
            "config_dir": self.config_dir,
            "node_id": self.node_id,
            "api_address": _stream(self.api_address),
            "identity_key_file": self.identity_key_file,
            "api_tls_certificate": self.api_tls_certificate,
            "api_tls_key": self.api_tls_key,
        }


def _stream(address: str) -> str:
    """HOST:PORT as ListenStream= has it (systemd.socket(5)): names are not resolved, no host is every address."""
    host, _, port = address.rpartition(":")
    numeric = {"localhost": "127.0.0.1", "": "[::]"}.get(host, host)
    return f"{numeric}:{port}"


def context(mode: Mode, systemd_version: int, paths: Paths, here: Settings = DEFAULTS) -> Context:
    """The context of this very process: its interpreter, its code, the machine's permissions.

    Raises InvalidArgument for a STRATA_PATH that is no list of directories.
    """
    runtime, config = str(paths.runtime_dir), str(paths.config_dir)
    seen = (*own_code(), runtime, *((config,) if os.path.isdir(config) else ()))
    return msgspec.structs.replace(
        elsewhere(systemd_version, paths, here),
        mode=mode,
        python=sys.executable,
        code=access(seen),
        settings=settings_here(os.environ),
        run=own_run(os.environ) if mode == "user" else "/run",
        path=programs.search_path(os.environ),
    )


def elsewhere(systemd_version: int, paths: Paths, here: Settings = DEFAULTS) -> Context:
    """The system manager of any machine, with a distribution's Python and nothing that is closed: to show and judge
    units by, whatever this process is."""
    return Context(
        mode="system",
        systemd_version=systemd_version,
        runtime_dir=str(paths.runtime_dir),
        state_dir=str(paths.state_dir),
        config_dir=str(paths.config_dir),
        python="/usr/bin/python3",
        code=Access(homes=False, covers=(), binds=()),
        node_id=here.node_id,
        api_address=here.api.address,
        core=here.core,
        identity_key_file=here.identity.key_file,
        api_tls_certificate=here.api.tls_certificate,
        api_tls_key=here.api.tls_key,
    )


def own_run(env: Mapping[str, str]) -> str:
    """The runtime directory of this user's systemd (`%t`, systemd.unit(5))."""
    return env.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"


def settings_here(env: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The variables in an environment that settings are read from (strata.config), but for the node's id."""
    return tuple((name, env[name]) for name in VARIABLES if env.get(name) and name != "STRATA_NODE_ID")


def own_code() -> tuple[str, ...]:
    """The directories that hold the running interpreter, its libraries and Strata itself."""
    package = str(Path(__file__).resolve().parent.parent)
    prefixes = (sys.prefix, sys.base_prefix, os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix))
    return tuple(dict.fromkeys((*prefixes, package)))
