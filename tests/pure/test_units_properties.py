# SPDX-License-Identifier: MIT
"""Unit text to D-Bus properties: what adds up, what resets, what is refused. That systemd takes them is a live test."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refused import refusal

from strata.errors import InvalidArgument
from strata.units import kernel
from strata.units.directives import NOT_TRANSIENT, TABLE
from strata.units.model import UnitText
from strata.units.properties import encode

ALL = 2**64 - 1


def encoded(
    lines: str, name: str = "sample.service", section: str = "Service", version: int = 252
) -> list[tuple[Any, ...]]:
    return [tuple(found) for found in encode(UnitText(name, f"[{section}]\n{lines}\n"), version).properties]


def test_the_last_assignment_of_a_scalar_counts() -> None:
    assert encoded("Nice=1\nNice=5") == [("Nice", "i", 5)]


def test_an_empty_scalar_is_back_at_the_default_and_not_sent() -> None:
    assert encoded("Nice=1\nNice=") == []


def test_a_list_adds_up_from_the_last_reset() -> None:
    assert encoded("Environment=A=1\nEnvironment=\nEnvironment=B=2\nEnvironment='C=x y'") == [
        ("Environment", "as", ["B=2"]),
        ("Environment", "as", ["C=x y"]),
    ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("CapabilityBoundingSet=", 0),
        ("CapabilityBoundingSet=~", ALL),
        ("CapabilityBoundingSet=CAP_CHOWN\nCapabilityBoundingSet=cap_kill", 0b100001),
        ("CapabilityBoundingSet=CAP_CHOWN CAP_KILL\nCapabilityBoundingSet=~CAP_CHOWN", 0b100000),
        ("CapabilityBoundingSet=~CAP_CHOWN", ALL - 1),
    ],
)
def test_capabilities_add_up_as_in_a_unit_file(lines: str, expected: int) -> None:
    assert encoded(lines) == [("CapabilityBoundingSet", "t", expected)]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("RestrictNamespaces=yes", 0),
        ("RestrictNamespaces=no", kernel.ALL_NAMESPACES),
        ("RestrictNamespaces=user", kernel.NAMESPACE_BITS["user"]),
        ("RestrictNamespaces=~user", kernel.ALL_NAMESPACES - kernel.NAMESPACE_BITS["user"]),
        ("RestrictNamespaces=yes\nRestrictNamespaces=", kernel.ALL_NAMESPACES),
    ],
)
def test_restrict_namespaces_says_which_stay_allowed(lines: str, expected: int) -> None:
    assert encoded(lines) == [("RestrictNamespaces", "t", expected)]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("/bin/a b", ("ExecStart", "a(sasb)", [("/bin/a", ["/bin/a", "b"], False)])),
        ("-/bin/a", ("ExecStart", "a(sasb)", [("/bin/a", ["/bin/a"], True)])),
        ("@/bin/a own b", ("ExecStart", "a(sasb)", [("/bin/a", ["own", "b"], False)])),
        ("!!/bin/a", ("ExecStartEx", "a(sasas)", [("/bin/a", ["/bin/a"], ["ambient"])])),
        ("-+/bin/a", ("ExecStartEx", "a(sasas)", [("/bin/a", ["/bin/a"], ["ignore-failure", "privileged"])])),
        ('/bin/a ";"', ("ExecStart", "a(sasb)", [("/bin/a", ["/bin/a", ";"], False)])),
    ],
)
def test_a_command_line_carries_its_prefixes(command: str, expected: tuple[Any, ...]) -> None:
    assert encoded(f"ExecStart={command}") == [expected]


@pytest.mark.parametrize("command", ["-", "--/bin/a", "+!/bin/a", "/bin/a ; /bin/b", "@/bin/a"])
def test_a_command_line_that_means_two_things_is_refused(command: str) -> None:
    with pytest.raises(InvalidArgument, match=r"cannot set ExecStart of sample\.service"):
        encoded(f"ExecStart={command}")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("MemoryMax=50%", ("MemoryMaxScale", "u", 2**31)),
        ("MemoryMax=infinity", ("MemoryMax", "t", ALL)),
        ("TasksMax=10%", ("TasksMaxScale", "u", 429496730)),
        ("CPUQuota=20%", ("CPUQuotaPerSecUSec", "t", 200_000)),
        ("Delegate=cpu io", ("DelegateControllers", "as", ["cpu", "io"])),
        ("StandardOutput=file:/x", ("StandardOutputFile", "s", "/x")),
        ("StandardInput=fd:name", ("StandardInputFileDescriptorName", "s", "name")),
        ("SystemCallErrorNumber=kill", ("SystemCallErrorNumber", "i", 2**31 - 2)),
        ("RestrictAddressFamilies=none", ("RestrictAddressFamilies", "(bas)", (True, []))),
        ("SuccessExitStatus=3 TEMPFAIL SIGTERM", ("SuccessExitStatus", "(aiai)", ([3, 75], [15]))),
        ("CPUAffinity=numa", ("CPUAffinityFromNUMA", "b", True)),
        ("CPUAffinity=0,2-3 64", ("CPUAffinity", "ay", b"\x0d" + bytes(7) + b"\x01" + bytes(7))),
        ("RootHash=/x", ("RootHashPath", "s", "/x")),
        ("StateDirectory=a:b", ("StateDirectorySymlink", "a(sst)", [("a", "b", 0)])),
        ("SocketBindAllow=any", ("SocketBindAllow", "a(iiqq)", [(0, 0, 0, 0)])),
        ("SocketBindDeny=tcp:80-81", ("SocketBindDeny", "a(iiqq)", [(0, 6, 2, 80)])),
        ("LoadCredential=a", ("LoadCredential", "a(ss)", [("a", "a")])),
        ("TemporaryFileSystem=/x:size=10%", ("TemporaryFileSystem", "a(ss)", [("/x", "size=10%")])),
        ("DeviceAllow=/dev/null", ("DeviceAllow", "a(ss)", [("/dev/null", "")])),
    ],
)
def test_a_value_that_decides_its_property(line: str, expected: tuple[Any, ...]) -> None:
    assert encoded(line) == [expected]


def test_a_resource_limit_is_a_soft_and_a_hard_one() -> None:
    assert encoded("LimitNOFILE=10:20") == [("LimitNOFILE", "t", 20), ("LimitNOFILESoft", "t", 10)]
    assert encoded("LimitNICE=-5") == [("LimitNICE", "t", 25), ("LimitNICESoft", "t", 25)]


def test_specifiers_that_the_name_decides_are_expanded() -> None:
    found = encoded("Environment=A=%n_%p_%i_%%_%N\nLogExtraFields=U=%n", name="a-b@c\\x2dd.service")
    assert found[0][2] == ["A=a-b@c\\x2dd.service_a-b_c\\x2dd_%_a-b@c\\x2dd"]
    assert found[1][2] == [b"U=a-b@c\\x2dd.service"]


@pytest.mark.parametrize("line", ["Environment=A=%t", "ReadWritePaths=%S/x", "ExecStart=/bin/echo %Q"])
def test_specifiers_that_only_the_manager_knows_are_refused(line: str) -> None:
    with pytest.raises(InvalidArgument, match="not expanded in a transient unit"):
        encoded(line)


def test_a_directive_that_is_too_new_is_refused_with_both_versions() -> None:
    with pytest.raises(InvalidArgument, match=r"OpenFile of sample\.service: it needs systemd 253, here runs 252"):
        encoded("OpenFile=/etc/hostname")


def test_a_directive_that_a_unit_does_without_is_skipped_and_said() -> None:
    unit = UnitText("sample.service", "[Service]\nRestartSteps=5\nRestartMaxDelaySec=30s\n")
    assert encode(unit, 252) == ((), ("RestartSteps", "RestartMaxDelaySec"))
    assert len(encode(unit, 254).properties) == 2


@pytest.mark.parametrize(
    ("section", "line", "match"),
    [
        ("Service", "ProtectSytem=yes", "did you mean ProtectSystem"),
        ("Unit", "ProtectSystem=yes", r"belongs into \[Service\]"),
        ("Service", "Sockets=a.socket", "cannot set Sockets on a transient unit"),
        ("Socket", "ListenStream=/x", r"expected \[Unit\] or \[Service\]"),
        ("Install", "WantedBy=x.target", r"expected \[Unit\] or \[Service\]"),
        ("Unit", "JobTimeoutSec=1", "write JobRunningTimeoutSec="),
        ("Service", "Nice=99", "a nice level from -20 to 19"),
        ("Service", "KillSignal=SIGNOPE", "no signal"),
        ("Service", "CPUSchedulingPolicy=fast", "no known name"),
        ("Service", "IPAddressAllow=10.0.0.0/99", "IP address"),
    ],
)
def test_what_cannot_be_set_is_refused_with_unit_directive_and_reason(section: str, line: str, match: str) -> None:
    with pytest.raises(InvalidArgument, match=match) as raised:
        encoded(line, section=section)
    assert "sample.service" in raised.value.message
    assert line.partition("=")[0] in raised.value.message


def test_a_unit_of_a_kind_that_strata_does_not_run_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"cannot start a\.timer"):
        encode(UnitText("a.timer", "[Timer]\nOnBootSec=1\n"), 252)


ROWS = [(section, row) for section, rows in TABLE.items() for row in rows.values()]


@given(st.sampled_from(ROWS), st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=3))
def test_every_row_reads_or_refuses_whatever_it_is_given(row: tuple[str, Any], assigned: list[str]) -> None:
    refusal(row[1].encode, tuple(assigned))


def test_no_directive_is_both_in_the_table_and_explained_away() -> None:
    for section, reasons in NOT_TRANSIENT.items():
        assert not set(reasons) & set(TABLE.get(section, {}))
