# SPDX-License-Identifier: MIT
"""What a session will be: settings, template and request put together, and who may have more than usual."""

from __future__ import annotations

from typing import Any

import pytest

from strata.config import LimitSettings, SandboxSettings, TemplateSettings
from strata.errors import InvalidArgument, NotFound, PermissionDenied
from strata.sandbox.params_session import CreateParams
from strata.sandbox.record import Record
from strata.sandbox.wanted import Fixed, wanted

SETTINGS = SandboxSettings(
    limits=LimitSettings(memory_max="512M", tasks_max=100, cpu_quota="100%"),
    lifetime="1h",
    templates={"big": TemplateSettings(limits={"memory_max": "4G"}, network="host", env={"A": "1"})},
)


def made(operator: bool = False, **asked: Any) -> Record:
    return wanted(CreateParams(owner="alice", session="s", **asked), SETTINGS, Fixed(0, True, operator))


def test_what_is_left_out_is_as_the_settings_say() -> None:
    record = made()
    assert (record.limits.memory_max, record.network, record.lifetime_seconds) == ("512M", "isolated", 3600)


def test_a_template_counts_more_than_the_settings_and_less_than_the_request() -> None:
    record = made(template="big", env={"B": "2"}, limits={"memory_max": "2G"})
    assert (record.limits.memory_max, record.network, record.env) == ("2G", "host", {"A": "1", "B": "2"})


@pytest.mark.parametrize(
    "limits", [{"memory_max": "1M"}, {"tasks_max": 8}, {"cpu_quota": "50%"}, {"disk_max": "8M"}, {"files_max": 16}]
)
def test_anybody_may_have_less_than_usual(limits: dict[str, Any]) -> None:
    assert made(limits=limits).limits != SETTINGS.limits


@pytest.mark.parametrize(
    "asked",
    [
        {"limits": {"memory_max": "513M"}},
        {"limits": {"memory_max": "infinity"}},
        {"limits": {"tasks_max": 101}},
        {"limits": {"cpu_quota": "101%"}},
        {"limits": {"cpu_quota": ""}},
        {"limits": {"disk_max": "3G"}},
        {"limits": {"memory_max": "5G"}, "template": "big"},
        {"lifetime": "61min"},
        {"lifetime": "infinity"},
        {"network": "host"},
        {"base": "/"},
    ],
)
def test_only_operators_may_have_more_than_usual(asked: dict[str, Any]) -> None:
    with pytest.raises(PermissionDenied):
        made(**asked)
    assert made(operator=True, **asked)


def test_a_small_disk_has_as_many_inodes_as_fit() -> None:
    assert made(limits={"disk_max": "8M"}).limits.inodes_max == 2048
    with pytest.raises(InvalidArgument, match="at most 2048 on a disk of 8M"):
        made(limits={"disk_max": "8M", "inodes_max": 2049})
    with pytest.raises(InvalidArgument, match="at least 8M"):
        made(limits={"disk_max": "7M"})


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({"limits": {"memory": "1G"}}, InvalidArgument),
        ({"limits": {"tasks_max": True}}, InvalidArgument),
        ({"ttl": "0"}, InvalidArgument),
        ({"ttl": "soon"}, InvalidArgument),
        ({"driver": "zfs"}, InvalidArgument),
        ({"network": "bridge"}, InvalidArgument),
        ({"template": "none"}, NotFound),
        ({"env": {"A=B": "1"}}, InvalidArgument),
        ({"labels": {"": "x"}}, InvalidArgument),
        ({"base": "relative"}, InvalidArgument),
    ],
)
def test_nonsense_is_refused(asked: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        made(operator=True, **asked)
