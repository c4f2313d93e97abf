# SPDX-License-Identifier: MIT
"""systemd keeps as many descriptors of a service as the service may give it (FileDescriptorStoreMax=)."""

from __future__ import annotations

import tomllib
from importlib import resources

import pytest

from strata.identity import verifiers
from strata.sandbox import descriptor_store


@pytest.mark.parametrize(("service", "most"), [("identity", verifiers.MOST), ("sandbox", descriptor_store.MOST)])
def test_a_manifest_allows_as_many_descriptors_as_its_service_may_keep(service: str, most: int) -> None:
    manifest = tomllib.loads(resources.files("strata.services").joinpath(f"{service}.toml").read_text())
    assert int(manifest["unit"]["Service"]["FileDescriptorStoreMax"]) >= most
