# SPDX-License-Identifier: MIT
"""What has changed on disk and takes a restart of Strata: the settings, which each process reads when it starts."""

from __future__ import annotations

from strata import config, edition
from strata.edition import Edition
from strata.errors import StrataError
from strata.paths import Paths

REMEDY = "`strata-ctl restart` applies it"


def pending(paths: Paths, running: Edition) -> tuple[list[str], list[str]]:
    """Notes on what a restart would apply, and sentences on what would keep Strata from starting again."""
    try:
        found = edition.edition(config.load(paths))
    except StrataError as error:
        return [], [f"{error.message}; Strata goes on with the settings that it has, and could not start again"]
    if found.settings == running.settings:
        return [], []
    return [f"{paths.config_dir / config.FILE_NAME} has changed: {REMEDY}"], []
