# SPDX-License-Identifier: MIT
"""Where things lie: the three directories that every part of Strata agrees on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from strata.errors import InvalidArgument


class Paths(NamedTuple):
    """The runtime directory (sockets), the state directory (keys, revocations) and the configuration directory."""

    runtime_dir: Path
    state_dir: Path
    config_dir: Path

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Paths:
        """Read STRATA_RUNTIME_DIR, STRATA_STATE_DIR and STRATA_CONFIG_DIR; defaults follow file-hierarchy(7).

        Raises InvalidArgument for a path that is not absolute.
        """
        env = os.environ if env is None else env
        system = os.geteuid() == 0
        home = Path(env.get("HOME", "/"))
        runtime = "/run/strata" if system else f"{env.get('XDG_RUNTIME_DIR', f'/run/user/{os.geteuid()}')}/strata"
        state = "/var/lib/strata" if system else f"{env.get('XDG_STATE_HOME', home / '.local/state')}/strata"
        config = "/etc/strata" if system else f"{env.get('XDG_CONFIG_HOME', home / '.config')}/strata"
        return cls(
            _absolute(env, "STRATA_RUNTIME_DIR", runtime),
            _absolute(env, "STRATA_STATE_DIR", state),
            _absolute(env, "STRATA_CONFIG_DIR", config),
        )

    def socket(self, service: str) -> Path:
        """The unix socket of a core service, e.g. `fs` → `fs.sock` in the runtime directory."""
        return self.runtime_dir / f"{service}.sock"

    @property
    def identity_pub(self) -> Path:
        """Base64 of the current v2 public key (spec 1.2)."""
        return self.runtime_dir / "identity.pub"

    @property
    def supervisor_lock(self) -> Path:
        """Locked by the supervisor for as long as it runs, so that there is one."""
        return self.runtime_dir / "supervisor.lock"

    @property
    def services_d(self) -> Path:
        """The users' own manifests."""
        return self.config_dir / "services.d"

    def environment(self) -> dict[str, str]:
        """The variables that make another process see the same three directories."""
        return {
            "STRATA_RUNTIME_DIR": str(self.runtime_dir),
            "STRATA_STATE_DIR": str(self.state_dir),
            "STRATA_CONFIG_DIR": str(self.config_dir),
        }


def _absolute(env: Mapping[str, str], variable: str, default: str) -> Path:
    value = env.get(variable) or default
    if not os.path.isabs(value) or "\0" in value:
        raise InvalidArgument(f"cannot use {variable}={value!r}: it must be an absolute path")
    return Path(os.path.normpath(value))
