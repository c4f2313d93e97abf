# SPDX-License-Identifier: MIT
"""What fuzzing found, each by the name of how it must be. The wire's are in test_fuzz_wire_regressions.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from strata.config import load
from strata.errors import InvalidArgument
from strata.paths import Paths
from strata.units import text
from strata.units.directives import TABLE


@pytest.mark.parametrize("host", ["127.0.0.1.example.com", "127.evil", "127.0.0.256", "127.0)).1", "127."])
def test_a_name_that_begins_like_a_loopback_address_is_none(tmp_path: Path, host: str) -> None:
    env = {"STRATA_SERVER_ADDR": f"{host}:2280", "STRATA_INSECURE_NO_AUTH": "yes"}
    with pytest.raises(InvalidArgument, match="for loopback addresses only"):
        load(Paths(tmp_path, tmp_path, tmp_path), env)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.255.0.9", "localhost", "[::1]"])
def test_loopback_addresses_may_do_without_authentication(tmp_path: Path, host: str) -> None:
    env = {"STRATA_SERVER_ADDR": f"{host}:2280", "STRATA_INSECURE_NO_AUTH": "yes"}
    assert load(Paths(tmp_path, tmp_path, tmp_path), env).api.insecure_no_auth


def test_only_systemd_s_own_white_space_is_cut_off_a_value() -> None:
    """U+0085 and U+00A0 are part of a path, as they are to systemd."""
    (found,) = text.parse("[Socket]\nListenStream= \u0085/run/x\u00a0\t\n")
    assert found.value == "\u0085/run/x\u00a0"
    (one,) = TABLE["Unit"]["ConditionPathExists"].encode(("| !\u00a0/x",))
    assert one.value == [("ConditionPathExists", True, True, "\u00a0/x")]
