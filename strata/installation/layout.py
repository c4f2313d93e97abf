# SPDX-License-Identifier: MIT
"""What an installed Strata consists of on the disk, and where each part lies: data, and a function that looks it up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from strata.paths import Paths

Target: TypeAlias = Literal["admin", "package", "user"]
"""Who installs: root on this machine, the maker of a package, or somebody for himself."""

Kind: TypeAlias = Literal["unit", "sysusers", "tmpfiles", "preset", "man", "bash", "zsh", "fish"]
TARGETS: tuple[Target, ...] = get_args(Target)

# Target → kind → directory. `$config` and `$data` are those of the XDG base directories.
PLACES: Mapping[Target, Mapping[Kind, str]] = {
    "admin": {
        "unit": "/etc/systemd/system",
        "sysusers": "/etc/sysusers.d",
        "tmpfiles": "/etc/tmpfiles.d",
        "preset": "/etc/systemd/system-preset",
        "man": "/usr/local/share/man",
        "bash": "/usr/local/share/bash-completion/completions",
        "zsh": "/usr/local/share/zsh/site-functions",
        "fish": "/usr/local/share/fish/vendor_completions.d",
    },
    "package": {
        "unit": "/usr/lib/systemd/system",
        "sysusers": "/usr/lib/sysusers.d",
        "tmpfiles": "/usr/lib/tmpfiles.d",
        "preset": "/usr/lib/systemd/system-preset",
        "man": "/usr/share/man",
        "bash": "/usr/share/bash-completion/completions",
        "zsh": "/usr/share/zsh/site-functions",
        "fish": "/usr/share/fish/vendor_completions.d",
    },
    "user": {
        "unit": "$config/systemd/user",
        "man": "$data/man",
        "bash": "$data/bash-completion/completions",
        "zsh": "$data/zsh/site-functions",
        "fish": "$data/fish/vendor_completions.d",
    },
}

# Kind → the one file that it has; units and man pages are several and have names of their own.
NAMES: Mapping[Kind, str] = {
    "sysusers": "strata.conf",
    "tmpfiles": "strata.conf",
    "preset": "50-strata.preset",
    "bash": "strata-ctl",
    "zsh": "_strata-ctl",
    "fish": "strata-ctl.fish",
}

# Kind → where the package has it ready, below its own directory. Man pages go into manN by their suffix.
SHIPPED: Mapping[Kind, str] = {
    "man": "man/*.[1-8]",
    "bash": "completion/strata-ctl.bash",
    "zsh": "completion/_strata-ctl",
    "fish": "completion/strata-ctl.fish",
}

GROUP = "strata"
"""Its members are operators: the default of `groups` in [operators] of strata.toml."""

SYSTEM = Paths(Path("/run/strata"), Path("/var/lib/strata"), Path("/etc/strata"))
"""The directories of a package, whoever builds it with whatever in the environment."""


def directory(target: Target, kind: Kind, env: Mapping[str, str]) -> Path:
    """Where files of that kind belong. Raises KeyError for a kind that the target has none of."""
    home = env.get("HOME") or "/"
    above = {
        "$config": env.get("XDG_CONFIG_HOME") or f"{home}/.config",
        "$data": env.get("XDG_DATA_HOME") or f"{home}/.local/share",
    }
    place = PLACES[target][kind]
    first, slash, rest = place.partition("/")
    return Path(above.get(first, first) + slash + rest)
