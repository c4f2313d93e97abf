# SPDX-License-Identifier: MIT
"""What the settings of a node do to its core services' units: which there are, and which files they are handed."""

from __future__ import annotations

from pathlib import Path

import pytest

from strata.config import ApiSettings, CoreSettings, IdentitySettings, Settings
from strata.paths import Paths
from strata.units import manifest, render
from strata.units.context import Context, context

PATHS = Paths(Path("/run/strata"), Path("/var/lib/strata"), Path("/etc/strata"))
FILES = Settings(
    identity=IdentitySettings(key_file="/etc/strata/100% mine.key"),
    api=ApiSettings(tls_certificate="/etc/ssl/web.pem", tls_key="/etc/ssl/private/web.key"),
)


def credentials(name: str, where: Context) -> list[str]:
    """The LoadCredential= lines of a core service."""
    one = next(one for one in manifest.load_core() if one.name == name)
    text = render.render(one, where)[0].text
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith("LoadCredential=")]


@pytest.mark.parametrize("name", ["registry", "identity", "fs", "sandbox", "api"])
def test_without_files_in_the_settings_nobody_is_handed_any(name: str) -> None:
    assert credentials(name, context("system", 252, PATHS)) == []


def test_the_seed_is_handed_to_identity_alone() -> None:
    where = context("system", 252, PATHS, FILES)
    assert credentials("identity", where) == ["identity.key:/etc/strata/100%% mine.key"]
    assert [credentials(name, where) for name in ("registry", "fs", "sandbox")] == [[], [], []]


def test_certificate_and_key_are_handed_to_the_door_alone() -> None:
    where = context("system", 252, PATHS, FILES)
    assert credentials("api", where) == ["tls.certificate:/etc/ssl/web.pem", "tls.key:/etc/ssl/private/web.key"]


def test_what_the_settings_leave_out_is_not_declared() -> None:
    core = CoreSettings(fs=False, api=False)
    assert [one.name for one in manifest.load_core(core)] == ["registry", "identity", "sandbox"]
