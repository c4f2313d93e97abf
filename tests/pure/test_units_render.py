# SPDX-License-Identifier: MIT
"""Rendered unit text: accepted by systemd-analyze verify in every mode, hardened, and true to its manifest."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strata.config import Settings
from strata.errors import InvalidArgument
from strata.installation import layout
from strata.paths import Paths
from strata.units import manifest, render
from strata.units.access import Access
from strata.units.context import Context, Mode, context, elsewhere, own_code
from strata.units.model import Health, Manifest, Socket, UnitText
from strata.units.properties import encode

CONTEXT = elsewhere(252, layout.SYSTEM)
MODES: tuple[Mode, ...] = get_args(Mode)
HELLO = Manifest(name="hello", command=("/bin/echo", "hello"), source="hello.toml")


def changed(value: Any, **given: Any) -> Any:
    return msgspec.structs.replace(value, **given)


def all_units(where: Context) -> list[UnitText]:
    services = [unit for one in manifest.load_core() for unit in render.render(one, where)]
    return [*services, render.render_slice(where), render.render_supervisor(where)]


def persistent(where: Context = CONTEXT) -> dict[str, list[str]]:
    """Directive to its values, in the supervisor's unit as it lies on the disk."""
    found: dict[str, list[str]] = {}
    for line in render.render_supervisor(where, persistent=True).text.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            found.setdefault(name, []).append(value)
    return found


def verify(units: list[UnitText], where: Path, *options: str) -> str:
    for unit in units:
        (where / unit.name).write_text(unit.text)
    answer = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *options, *(str(where / unit.name) for unit in units)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XDG_RUNTIME_DIR": str(where)},
    )
    return answer.stdout + answer.stderr


def values(unit: UnitText, name: str) -> list[Any]:
    return [found.value for found in encode(unit, 254).properties if found.name == name]


@pytest.mark.parametrize("mode", MODES)
def test_every_core_unit_passes_systemd_analyze_verify(mode: Mode, tmp_path: Path) -> None:
    where = changed(CONTEXT, mode=mode)
    assert verify(all_units(where), tmp_path, *(["--user"] if mode == "user" else [])) == ""


def test_units_for_code_in_closed_directories_pass_it_too(tmp_path: Path) -> None:
    code = Access(True, ("/data",), ("/root/a b", "/data/100%/x"))
    assert verify(all_units(changed(CONTEXT, code=code)), tmp_path) == ""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", [252, 254, 257])
def test_every_core_unit_can_be_sent_to_systemd(mode: Mode, version: int) -> None:
    for unit in all_units(changed(CONTEXT, mode=mode, systemd_version=version)):
        assert encode(unit, version).skipped == ()


@pytest.mark.parametrize(
    ("unit", "worst"),
    [("strata-registry", 2.0), ("strata-identity", 2.0), ("strata-fs", 2.0), ("strata-supervisor", 2.5)],
)
def test_the_exposure_that_systemd_analyze_security_finds_is_low(unit: str, worst: float, tmp_path: Path) -> None:
    for one in all_units(CONTEXT):
        (tmp_path / one.name).write_text(one.text)
    answer = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(tmp_path / f"{unit}.service")],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"Overall exposure level.*: ([0-9.]+)", answer.stdout)
    assert found, answer.stderr
    assert float(found[1]) <= worst


def test_below_a_user_manager_nothing_is_asked_that_takes_privileges() -> None:
    for unit in all_units(changed(CONTEXT, mode="user")):
        asked = {found.name for found in encode(unit, 252).properties}
        assert not asked & {
            "DynamicUser",
            "User",
            "CapabilityBoundingSet",
            "ProtectSystem",
            "PrivateTmp",
            "PrivateDevices",
        }
        assert not asked & {"StateDirectory", "ProtectHome", "PrivateNetwork", "IPAddressDeny", "DevicePolicy"}


def test_a_service_is_given_the_three_directories_the_node_and_nothing_else_of_ours() -> None:
    unit = render.render(changed(HELLO, environment={"A": "x y"}), CONTEXT)[0]
    assert values(unit, "Environment") == [
        ["A=x y"],
        ["STRATA_RUNTIME_DIR=/run/strata"],
        ["STRATA_STATE_DIR=/var/lib/strata"],
        ["STRATA_CONFIG_DIR=/etc/strata"],
        ["STRATA_NODE_ID=local-0"],
    ]


def test_every_unit_is_in_stratas_slice() -> None:
    for unit in all_units(CONTEXT):
        if not unit.name.endswith(".slice"):
            assert values(unit, "Slice") == ["strata.slice"]


def test_a_socket_unit_listens_for_the_service_of_the_same_name() -> None:
    units = render.render(changed(HELLO, socket=Socket(listen="${runtime_dir}/hello.sock", mode=0o660)), CONTEXT)
    assert [unit.name for unit in units] == ["strata-svc-hello.service", "strata-svc-hello.socket"]
    assert values(units[1], "Listen") == [[("Stream", "/run/strata/hello.sock")]]
    assert values(units[1], "SocketMode") == [0o660]


def test_dependencies_on_core_and_users_services_are_ordered_after() -> None:
    unit = render.render(changed(HELLO, after=("fs", "other")), CONTEXT)[0]
    assert values(unit, "After") == [["strata-fs.service"], ["strata-svc-other.service"]]


def test_crashes_beyond_the_limit_in_the_window_are_systemds_start_limit() -> None:
    unit = render.render(HELLO, CONTEXT)[0]
    assert values(unit, "StartLimitBurst") == [5]
    assert values(unit, "StartLimitIntervalUSec") == [120_000_000]
    assert values(unit, "RestartUSec") == [1_000_000]
    assert values(unit, "Restart") == ["always"]


def test_the_delay_grows_from_systemd_254_on() -> None:
    assert "RestartSteps" not in render.render(HELLO, CONTEXT)[0].text
    unit = render.render(HELLO, changed(CONTEXT, systemd_version=254))[0]
    assert values(unit, "RestartSteps") == [5]
    assert values(unit, "RestartMaxDelayUSec") == [30_000_000]


def test_what_a_manifest_says_verbatim_wins() -> None:
    wanted = {
        "Unit": {},
        "Service": {"Restart": ("on-failure",), "BindPaths": ("${state_dir}/x:/x", "/y")},
        "Socket": {},
    }
    unit = render.render(changed(HELLO, unit=wanted), CONTEXT)[0]
    assert values(unit, "Restart") == ["on-failure"]
    assert values(unit, "BindPaths")[0][0][:2] == ("/var/lib/strata/x", "/x")


def marks(unit: UnitText) -> dict[str, str]:
    """The fields that a unit puts into each of its journal records."""
    fields = [field.decode() for listed in values(unit, "LogExtraFields") for field in listed]
    return dict(field.split("=", 1) for field in fields)


def test_services_carry_the_marks_of_their_manifest_and_text() -> None:
    found = marks(render.render(HELLO, CONTEXT)[0])
    assert found["STRATA_SERVICE"] == "hello"
    assert re.fullmatch(r"[0-9a-f]{64}", found["STRATA_MANIFEST"])
    assert re.fullmatch(r"[0-9a-f]{64}", found["STRATA_UNIT"])


def test_the_mark_of_a_text_is_its_digest_without_it() -> None:
    for unit in render.render(changed(HELLO, socket=Socket(listen="/x")), CONTEXT):
        mark = re.search(r"LogExtraFields=STRATA_UNIT=(.*)\n", unit.text)
        assert mark
        assert render.digest([UnitText(unit.name, unit.text.replace(mark[0], ""))]) == mark[1]


def test_the_mark_of_a_text_changes_with_anything_in_it_and_with_nothing_else() -> None:
    def mark(one: Manifest, where: Context = CONTEXT) -> list[str]:
        return [marks(unit)["STRATA_UNIT"] for unit in render.render(one, where)]

    assert mark(HELLO) == mark(changed(HELLO))
    assert mark(HELLO) != mark(changed(HELLO, command=("/bin/echo", "goodbye")))
    assert mark(HELLO) != mark(HELLO, changed(CONTEXT, runtime_dir="/run/other"))
    one, other = (changed(HELLO, socket=Socket(listen="/x", mode=mode)) for mode in (0o666, 0o600))
    assert mark(one)[1] != mark(other)[1]


def test_the_mark_of_a_manifest_knows_neither_its_file_nor_the_place() -> None:
    def mark(one: Manifest, where: Context = CONTEXT) -> str:
        return marks(render.render(one, where)[0])["STRATA_MANIFEST"]

    assert mark(HELLO) == mark(changed(HELLO, source="elsewhere.toml"), changed(CONTEXT, python="/opt/python"))
    assert mark(HELLO) != mark(changed(HELLO, socket=Socket(listen="/x")))


def test_the_mark_of_a_manifest_leaves_out_what_the_supervisor_asks_itself() -> None:
    one, other = (changed(HELLO, health=Health(kind="tcp", target="/x", interval_sec=sec)) for sec in (1.0, 2.0))
    assert render.declared(one) == render.declared(other)
    watched = changed(HELLO, health=Health(kind="watchdog", interval_sec=1.0))
    assert render.declared(watched) != render.declared(HELLO)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), max_size=4))
def test_a_command_reaches_the_program_word_for_word(arguments: list[str]) -> None:
    """`$` and `%` and quotes mean nothing in it; systemd itself turns `$$` into `$` when it starts the program."""
    literal = [word for word in arguments if "${" not in word]
    unit = render.render(changed(HELLO, command=("/bin/echo", *literal)), CONTEXT)[0]
    path, argv, ignored = values(unit, "ExecStart")[0][0]
    assert (path, ignored) == ("/bin/echo", False)
    assert [word.replace("$$", "$") for word in argv] == ["/bin/echo", *literal]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_a_variable_reaches_the_program_as_it_is(value: str) -> None:
    unit = render.render(changed(HELLO, environment={"A": value}), CONTEXT)[0]
    if "${" not in value:
        assert values(unit, "Environment")[0] == [f"A={value}"]


def test_placeholders_are_filled_in_and_other_dollars_left_alone() -> None:
    unit = render.render(changed(HELLO, command=("${python}", "${name}", "${HOME}", "$$")), CONTEXT)[0]
    assert values(unit, "ExecStart")[0][0][1] == ["/usr/bin/python3", "hello", "$${HOME}", "$$$$"]


@pytest.mark.parametrize("field", ["description", "source"])
def test_a_value_that_would_start_a_line_of_its_own_is_refused(field: str) -> None:
    with pytest.raises(InvalidArgument, match="one line"):
        render.render(changed(HELLO, **{field: "x\nUser=nobody"}), CONTEXT)


def test_directories_with_odd_names_stay_single_words() -> None:
    unit = render.render_supervisor(changed(CONTEXT, runtime_dir='/run/a b"c\\d%n'))
    assert values(unit, "ReadWritePaths")[0][0] == '/run/a b"c\\d%n'
    assert ['STRATA_RUNTIME_DIR=/run/a b"c\\d%n'] in values(unit, "Environment")


@pytest.mark.parametrize("seconds", [0.2, 1.0, 2.5])
def test_a_supervisor_that_cannot_start_is_given_up_though_not_at_once(seconds: float) -> None:
    """However long, in seconds, each start takes until it fails; 15 s of trouble pass by."""
    unit = render.render_supervisor(CONTEXT)
    [burst], [interval] = values(unit, "StartLimitBurst"), values(unit, "StartLimitIntervalUSec")
    [delay] = values(unit, "RestartUSec")
    given_up_after = burst * (seconds + delay / 1e6)
    assert 15 < given_up_after < interval / 1e6 <= 120


@pytest.mark.parametrize("mode", MODES)
def test_the_persistent_supervisor_passes_systemd_analyze_verify(mode: Mode, tmp_path: Path) -> None:
    where = changed(CONTEXT, mode=mode, run="/run")
    units = [render.render_slice(where), render.render_supervisor(where, persistent=True)]
    assert verify(units, tmp_path, *(["--user"] if mode == "user" else [])) == ""


def test_the_persistent_supervisor_is_the_transient_one_and_what_a_boot_and_a_reload_need() -> None:
    transient = render.render_supervisor(CONTEXT).text.splitlines()
    lasting = render.render_supervisor(CONTEXT, persistent=True).text.splitlines()
    assert [line for line in lasting if line not in transient] == [
        "Documentation=man:strata-ctl(1)",
        "After=network.target",
        "ExecReload=/usr/bin/python3 -P -m strata reload --apply",
        "RuntimeDirectory=strata strata-supervisor",
        "RuntimeDirectoryMode=0755",
        "RuntimeDirectoryPreserve=yes",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    assert [line for line in transient if line not in lasting] == [
        "RuntimeDirectory=strata-supervisor",
        "RuntimeDirectoryMode=0700",
        "RuntimeDirectoryPreserve=restart",
        "Environment=STRATA_NODE_ID=local-0",
    ]


def test_a_persistent_supervisor_reads_its_settings_from_the_file_at_each_start() -> None:
    given = persistent(changed(CONTEXT, node_id="other", settings=(("STRATA_LOG_LEVEL", "debug"),)))["Environment"]
    assert [item.partition("=")[0] for item in given] == [
        "STRATA_MODE",
        "STRATA_RUNTIME_DIR",
        "STRATA_STATE_DIR",
        "STRATA_CONFIG_DIR",
    ]


def test_a_persistent_supervisor_of_a_user_comes_with_the_users_session() -> None:
    found = persistent(changed(CONTEXT, mode="user", run="/run/user/7", runtime_dir="/run/user/7/strata"))
    assert found["WantedBy"] == ["default.target"]
    assert found["RuntimeDirectory"] == ["strata strata-supervisor"]
    assert "After" not in found


@pytest.mark.parametrize(
    ("runtime_dir", "made"),
    [
        ("/run/a/b", "a/b strata-supervisor"),
        ("/run/a b", '"a b" strata-supervisor'),
        ("/run/a:b", "strata-supervisor"),
        ("/srv/strata", "strata-supervisor"),
        ("/running/strata", "strata-supervisor"),
    ],
)
def test_systemd_makes_the_sockets_directory_where_it_can(runtime_dir: str, made: str) -> None:
    assert persistent(changed(CONTEXT, runtime_dir=runtime_dir))["RuntimeDirectory"] == [made]


def test_the_context_of_this_process_names_its_own_interpreter_and_code() -> None:
    found = context("embedded", 252, Paths(Path("/run/s"), Path("/var/s"), Path("/no/such")), Settings("node-1"))
    assert Path(found.python).exists()
    assert str(Path(render.__file__).parent.parent) in own_code()
    assert found.node_id == "node-1"


def test_strata_path_is_the_path_of_the_core_and_of_nothing_else() -> None:
    there = changed(CONTEXT, path="/nix/store/a-tools/bin:/nix/store/b-tools/bin")
    lines = [f"Environment={name}={there.path}" for name in ("STRATA_PATH", "PATH")]
    core = [render.render_supervisor(there), *(render.render(one, there)[0] for one in manifest.load_core())]
    for unit in core:
        assert [line for line in unit.text.splitlines() if "PATH=" in line] == lines, unit.name
    assert "PATH=" not in render.render(HELLO, there)[0].text
    assert "PATH=" not in render.render_supervisor(CONTEXT).text


def test_a_socket_stops_without_waiting_for_the_supervisor_that_waits_for_it() -> None:
    """Ordered before sockets.target, it would stop after whatever is ordered after basic.target."""
    unit = render.render(changed(HELLO, socket=Socket(listen="/x")), CONTEXT)[1]
    assert values(unit, "DefaultDependencies") == [False]
    assert values(unit, "Before") == values(unit, "Conflicts") == [["shutdown.target"]]
