# SPDX-License-Identifier: MIT
"""Vectors 084-104: the supervisor on a real systemd. 087-089 are pure: tests/pure/test_supervisor_states.py."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import pytest
from node import Node
from services import Services

from strata.errors import Conflict, InvalidArgument, NotFound, Unavailable
from strata.types import ServiceState

pytestmark = pytest.mark.timeout(120)

SLEEPER = 'command = ["/bin/sleep", "infinity"]\n'
STUBBORN = """
command = ["/bin/sh", "-c", "trap '' TERM; sleep 4711 & while :; do wait; done"]
"""
GRANDCHILD = "\0".join(("sleep", "4711", ""))
COMMAND_LINES = ("sh", "-c", "cat /proc/[0-9]*/cmdline")
SHORT_WINDOW = """
command = ["/bin/sleep", "infinity"]
[restart]
backoff = "100ms"
crashes = 10
window = "2s"
"""


@pytest.fixture
def services(strata: Node) -> Iterator[Services]:
    """The running Strata; what a test declares is taken back."""
    found = Services(strata)
    yield found
    found.take_back()


def test_084_status_tells_node_and_uptime(services: Services) -> None:
    """node_id is $STRATA_NODE_ID or local-0; uptime_sec is an integer that grows."""
    first = services.call("supervisor.status")

    assert first["node_id"] == "local-0"
    assert isinstance(first["uptime_sec"], int)
    services.until(lambda: services.call("supervisor.status")["uptime_sec"] > first["uptime_sec"], 5)


def test_085_the_core_is_healthy_with_processes(services: Services) -> None:
    """registry, identity and fs are Healthy and have a pid."""
    rows = {row["name"]: row for row in services.rows()}

    assert {"registry", "identity", "fs"} <= rows.keys()
    for name in ("registry", "identity", "fs"):
        assert rows[name]["state"] == "Healthy"
        assert rows[name]["pid"] > 0


def test_086_only_the_seven_states_occur(services: Services) -> None:
    """Every state that was ever told is one of the seven."""
    told = services.events()
    states = {row["state"] for row in services.rows()} | {event["state"] for event in told if event.get("state")}

    assert states <= set(ServiceState)


def test_090_a_killed_service_comes_back(services: Services) -> None:
    """kill -9: not Healthy at once, Healthy again with a new pid after about a second."""
    before = services.pid("fs")
    started = time.monotonic()
    services.kill("fs")

    services.until(lambda: services.state("fs") in ("Restarting", "Crashed", "Starting"), 1)
    services.until_healthy("fs", 10)
    assert time.monotonic() - started > 0.9
    assert services.pid("fs") not in (0, before)
    services.call("supervisor.svc.reset", {"name": "fs"})


def test_091_five_quick_crashes_are_quarantine(services: Services) -> None:
    """After the 5th crash nothing is restarted; svc.start brings it back."""
    services.call("supervisor.svc.restart", {"name": "fs"})  # begins a new window, with one start in it
    for _ in range(5):
        services.until_healthy("fs", 10)
        services.kill("fs")
        services.until(lambda: services.state("fs") != "Healthy", 2)
    services.until(lambda: services.state("fs") == "Quarantined", 10)

    assert services.pid("fs") == 0
    assert services.call("supervisor.svc.start", {"name": "fs"}) == {"status": "started"}
    assert services.state("fs") == "Healthy"


def test_092_stop_takes_service_and_socket_away(services: Services) -> None:
    """Stopped, no socket, no restart; a second stop says the state."""
    assert services.call("supervisor.svc.stop", {"name": "fs"})["status"] == "stopped"
    assert services.state("fs") == "Stopped"
    assert not services.paths.socket("fs").exists()
    with pytest.raises(Conflict, match=r"not running \(state=Stopped\)"):
        services.call("supervisor.svc.stop", {"name": "fs"})
    assert services.active_state("strata-fs.service") == "inactive"
    services.call("supervisor.svc.start", {"name": "fs"})


def test_093_start_after_stop_and_start_when_healthy(services: Services) -> None:
    """Started, Healthy; starting what is Healthy is a conflict."""
    services.call("supervisor.svc.stop", {"name": "fs"})

    assert services.call("supervisor.svc.start", {"name": "fs"}) == {"status": "started"}
    assert services.state("fs") == "Healthy"
    with pytest.raises(Conflict, match="illegal transition for fs: Healthy -> Starting"):
        services.call("supervisor.svc.start", {"name": "fs"})


def test_094_start_needs_healthy_dependencies(services: Services) -> None:
    """fs does not start while identity is Stopped: code 6."""
    services.call("supervisor.svc.stop", {"name": "fs"})
    stopped = services.call("supervisor.svc.stop", {"name": "identity"})
    try:
        with pytest.raises(Unavailable, match='dependency "identity" is not healthy'):
            services.call("supervisor.svc.start", {"name": "fs"})
    finally:
        services.call("supervisor.svc.start", {"name": "identity"})
        services.call("supervisor.svc.start", {"name": "fs"})
    assert stopped["dependents"] == ["fs", "sandbox"]


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "reset", "describe"])
def test_095_missing_and_unknown_names(services: Services, verb: str) -> None:
    """No name is code 1 `missing name param`; an unknown one is code 4."""
    with pytest.raises(InvalidArgument, match="missing name param"):
        services.call(f"supervisor.svc.{verb}", {})
    with pytest.raises(NotFound, match='unknown service "nobody"'):
        services.call(f"supervisor.svc.{verb}", {"name": "nobody"})


@pytest.mark.parametrize(
    ("params", "least", "most"), [({"drain_ms": 300}, 0.3, 1.5), ({}, 2.0, 4.0), ({"drain_ms": 0}, 2.0, 4.0)]
)
def test_096_a_service_that_ignores_sigterm_is_killed(
    services: Services, params: dict[str, int], least: float, most: float
) -> None:
    """SIGKILL after drain_ms (default 2 s); the process is gone when the answer comes."""
    services.declare("stubborn", STUBBORN)
    services.until_healthy("stubborn", 10)
    started = time.monotonic()
    services.call("supervisor.svc.stop", {"name": "stubborn", **params})
    took = time.monotonic() - started

    assert least <= took <= most
    assert services.active_state("strata-svc-stubborn.service") == "inactive"


def test_097_stop_takes_grandchildren_along(services: Services) -> None:
    """No process that the service started, however distant, outlives the stop."""
    services.declare("stubborn", STUBBORN)
    services.until_healthy("stubborn", 10)
    assert GRANDCHILD in services.run(*COMMAND_LINES).stdout

    services.call("supervisor.svc.stop", {"name": "stubborn", "drain_ms": 100})

    assert GRANDCHILD not in services.run(*COMMAND_LINES).stdout


def test_098_pid_is_zero_when_nothing_runs(services: Services) -> None:
    """A stopped service has no pid."""
    services.declare("sleeper", SLEEPER)
    services.until_healthy("sleeper", 10)
    services.call("supervisor.svc.stop", {"name": "sleeper"})

    assert services.pid("sleeper") == 0


def test_099_a_missing_binary_is_never_a_dead_end(services: Services) -> None:
    """The binary vanishes, the restarts fail, it is Quarantined with the reason; once restored, svc.start works."""
    program = services.paths.state_dir / "program"
    program.write_text("#!/bin/sh\nexec sleep infinity\n")
    program.chmod(0o755)
    services.declare("fragile", f'command = ["{program}"]\n[restart]\nbackoff = "100ms"\ncrashes = 3\n')
    services.until_healthy("fragile", 10)
    hidden = program.rename(program.with_name("hidden"))
    services.kill("fragile")
    services.until(lambda: services.state("fragile") == "Quarantined", 15)

    assert "203" in services.row("fragile")["why"]
    hidden.rename(program)
    assert services.call("supervisor.svc.start", {"name": "fragile"}) == {"status": "started"}
    assert services.state("fragile") == "Healthy"


def test_100_a_killed_supervisor_loses_nothing(services: Services) -> None:
    """SIGKILL at any moment: services go on with the same pids, and are adopted."""
    services.declare("sleeper", SLEEPER)
    services.until_healthy("sleeper", 10)
    before = {row["name"]: row["pid"] for row in services.rows()}
    services.kill_unit("strata-supervisor.service")

    services.until(lambda: services.call("supervisor.status")["uptime_sec"] < 5, 15)
    services.until(lambda: {row["name"]: row["pid"] for row in services.rows()} == before, 10)
    assert {row["state"] for row in services.rows()} == {"Healthy"}


def test_100_the_wish_to_stop_outlives_the_supervisor(services: Services) -> None:
    """What was stopped stays stopped when a killed supervisor is back."""
    services.declare("sleeper", SLEEPER)
    services.until_healthy("sleeper", 10)
    services.call("supervisor.svc.stop", {"name": "sleeper"})
    services.kill_unit("strata-supervisor.service")

    services.until(lambda: services.state("sleeper") == "Stopped", 15)


def test_100_no_client_is_refused_while_the_supervisor_restarts(services: Services) -> None:
    """The control socket is kept by systemd: a call made right after the kill is answered."""
    for _ in range(3):
        services.kill_unit("strata-supervisor.service")
        assert services.call("supervisor.status")["node_id"] == "local-0"


def test_101_a_long_healthy_spell_forgives(services: Services) -> None:
    """Restarts counted go back to 0 after the crash window has passed without a crash."""
    services.declare("forgiven", SHORT_WINDOW)
    services.until_healthy("forgiven", 10)
    services.kill("forgiven")
    services.until(lambda: services.row("forgiven")["restarts"] == 1, 5)
    services.until_healthy("forgiven", 5)

    services.until(lambda: services.row("forgiven")["restarts"] == 0, 10)


def test_102_sigterm_stops_all_in_reverse_order(services: Services) -> None:
    """Reverse dependency order, exit 0, no socket and no unit left; up again afterwards."""
    since = time.time()
    services.run("systemctl", "kill", "--signal=TERM", "strata-supervisor.service")
    services.until(lambda: services.active_state("strata-supervisor.service") == "inactive", 30)
    try:
        stopped = [
            str(record["STRATA_SERVICE"])
            for record in services.journal("STRATA_EVENT=svc.stopped")
            if int(str(record["__REALTIME_TIMESTAMP"])) / 1e6 >= since
        ]
        assert stopped[-3:] == ["fs", "identity", "registry"]
        assert not list(services.paths.runtime_dir.glob("*.sock"))
        left = services.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "strata-*").stdout
        assert not [line for line in left.splitlines() if not line.startswith(("strata-embedded", "strata-test"))]
        assert (
            services.run("systemctl", "show", "-P", "Result", "strata-supervisor.service").stdout.strip() == "success"
        )
    finally:
        services.up()


def test_103_a_hung_service_leaves_healthy(services: Services) -> None:
    """SIGSTOP: the watchdog is not answered, the service leaves Healthy and comes back with a new process."""
    before = services.pid("fs")
    services.kill("fs", "STOP")

    services.until(lambda: services.state("fs") != "Healthy", 15)
    services.until(lambda: services.state("fs") == "Healthy" and services.pid("fs") != before, 20)
    services.call("supervisor.svc.reset", {"name": "fs"})


def test_103_a_foreign_service_is_healthy_once_it_answers(services: Services) -> None:
    """A socket that accepts is not enough: http has to answer, and one that stops answering is killed and restarted."""
    services.declare(
        "web",
        """
        command = ["/usr/bin/python3", "-m", "http.server", "18467", "--bind", "127.0.0.1", "--directory", "/usr/share"]
        [health]
        kind = "http"
        url = "http://127.0.0.1:18467/"
        interval = "300ms"
        timeout = "1s"
        failures = 2
        """,
    )
    services.until_healthy("web", 20)
    before = services.pid("web")
    services.kill("web", "STOP")

    services.until(lambda: services.pid("web") not in (0, before), 20)
    services.until_healthy("web", 20)
    assert "svc.unhealthy" in {event["event"] for event in services.events() if event["service"] == "web"}


@pytest.mark.parametrize(
    ("manifests", "explained"),
    [
        ({"a": ["b"], "b": ["a"]}, "a"),
        ({"a": ["nowhere"]}, "nowhere"),
    ],
)
def test_104_cycles_and_unknown_dependencies_are_refused(
    services: Services, manifests: dict[str, list[str]], explained: str
) -> None:
    """They are explained and left out; everything else goes on."""
    for name, after in manifests.items():
        services.write(name, f"command = ['/bin/true']\nafter = {after}\n")
    shown = services.call("supervisor.svc.reload", {"apply": True})

    assert shown["problems"]
    assert explained in " ".join(shown["problems"])
    assert not {"a", "b"} & {row["name"] for row in services.rows()}
    assert services.state("fs") == "Healthy"


def test_every_start_and_crash_is_in_the_journal(services: Services) -> None:
    """svc.start, svc.crash and svc.stop are records with the service's name."""
    services.declare("noted", SHORT_WINDOW)
    services.until_healthy("noted", 10)
    services.kill("noted")
    services.until(lambda: services.row("noted")["restarts"] >= 1, 10)
    services.until_healthy("noted", 10)
    services.call("supervisor.svc.stop", {"name": "noted"})

    for event, subject in (("svc.start", "supervisor"), ("svc.crash", "supervisor"), ("svc.stop", "uid:0")):
        (record, *_) = services.journal(f"STRATA_EVENT={event}", "STRATA_SERVICE=noted")
        assert record["STRATA_SUBJECT"] == subject, event
        assert record["STRATA_RESOURCE"] == "strata-svc-noted.service"
    assert record["STRATA_REQ_ID"]


def test_event_numbers_have_no_gap(services: Services) -> None:
    """Followers can tell whether they missed something."""
    numbers = [event["seq"] for event in services.events()]

    assert all(later == earlier + 1 for earlier, later in itertools.pairwise(numbers))
