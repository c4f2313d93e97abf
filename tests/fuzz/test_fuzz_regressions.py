# SPDX-License-Identifier: MIT
"""What fuzzing found, each by the name of how it must be. The wire's are in test_fuzz_wire_regressions.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from strata.config import load
from strata.errors import InvalidArgument
from strata.paths import Paths
from strata.policy import capability
from strata.units import manifest, text
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


@pytest.mark.parametrize("written", ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"])
def test_a_time_in_a_token_that_no_four_digits_can_tell_in_utc_is_refused(written: str) -> None:
    with pytest.raises(InvalidArgument, match="expected RFC 3339"):
        capability.time_of(written)


@pytest.mark.parametrize("written", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z"])
def test_the_first_and_the_last_time_that_a_token_can_tell_are_written_as_they_were_read(written: str) -> None:
    assert capability.time_text(capability.time_of(written)) == written


@pytest.mark.parametrize("name", [" k", "k ", "k\u00e9", "a/b", "a:b", "..", "x" * 256])
def test_a_credential_s_name_that_systemd_would_not_take_as_it_is_is_refused_at_the_door(name: str) -> None:
    """A blank at an end was cut off on the way, so that the service found the credential under another name."""
    with pytest.raises(InvalidArgument, match="no name of a credential"):
        manifest.parse(f'command = ["/x"]\n[credentials]\n"{name}" = "/etc/k"\n', "x", "x.toml")


def test_a_credential_s_name_may_have_a_blank_inside() -> None:
    found = manifest.parse('command = ["/x"]\n[credentials]\n"a b.c-d" = "/etc/k"\n', "x", "x.toml")
    assert dict(found.credentials) == {"a b.c-d": "/etc/k"}
