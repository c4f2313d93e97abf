# SPDX-License-Identifier: MIT
"""The supervisor when the world around it misbehaves, and what goes beyond the predecessor's verbs."""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from node import Node
from services import Services

from strata.errors import PermissionDenied, StrataError, Unauthenticated, Unavailable
from strata.sockets.client import Client

pytestmark = pytest.mark.timeout(120)

SLEEPER = 'command = ["/bin/sleep", "infinity"]\n'
LEAVING = """["/bin/sh", "-c", "trap 'exit 143' TERM; while :; do sleep 0.05; done"]"""
PROBED = '[health]\nkind = "tcp"\ntarget = "127.0.0.1:1"\n'
ECHO_ON_DEMAND = """
command = ["/usr/bin/python3", "-c", '''
import socket
listener = socket.socket(fileno=3)
peer, _ = listener.accept()
peer.sendall(peer.recv(64))
''']
activation = "on-demand"
[socket]
listen = "${runtime_dir}/greeter.sock"
"""


@pytest.fixture
def services(strata: Node) -> Iterator[Services]:
    """The running Strata; what a test declares is taken back."""
    found = Services(strata)
    yield found
    found.take_back()


def test_a_second_supervisor_is_refused_in_a_sentence(strata: Node, services: Services) -> None:
    """It exits 1 and says who holds the directory; the first goes on undisturbed."""
    environment = strata.manager.paths.environment()
    second = strata.manager.run([sys.executable, "-m", "strata.supervisor.main"], env={**os.environ, **environment})

    assert second.returncode == 1
    assert "another supervisor serves" in second.stderr
    assert "Traceback" not in second.stderr
    assert services.state("fs") == "Healthy"


def test_a_supervisor_without_its_directory_says_what_to_do(strata: Node) -> None:
    """No runtime directory: one sentence that names `strata-ctl up`."""
    environment = {**os.environ, "STRATA_RUNTIME_DIR": "/run/strata-nowhere"}
    answer = strata.manager.run([sys.executable, "-m", "strata.supervisor.main"], env=environment)

    assert answer.returncode == 1
    assert "strata-ctl up" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"command = [",
        b"\xff\xfe\x00",
        b'command = ["/bin/true"]\nunknown = 1\n',
        b'command = "x\\u0000y"\n',
        b"[]" * 40,
    ],
)
def test_a_broken_manifest_hides_nobody(services: Services, content: bytes) -> None:
    """It is named with its file and the reason; the good ones run."""
    services.write("broken", "")
    (services.paths.services_d / "broken.toml").write_bytes(content)
    services.write("good", SLEEPER)
    answer = services.call("supervisor.svc.reload", {"apply": True})

    assert [problem for problem in answer["problems"] if "broken.toml" in problem]
    assert "broken" not in {row["name"] for row in services.rows()}
    services.until_healthy("good", 10)


def test_reload_shows_first_and_changes_nothing(services: Services) -> None:
    """Without `apply` the plan is only told."""
    services.write("shown", SLEEPER)
    answer = services.call("supervisor.svc.reload")

    assert answer["applied"] is False
    assert {"verb": "start", "service": "shown", "reason": "its manifest is new"} in answer["plan"]
    assert "shown" not in {row["name"] for row in services.rows()}


def test_reload_restarts_what_changed_and_stops_what_is_gone(services: Services) -> None:
    """A changed manifest means a new process with the new settings, a removed one means no unit."""
    services.declare("changing", SLEEPER)
    services.until_healthy("changing", 10)
    before = services.pid("changing")
    services.declare("changing", SLEEPER + '[limits]\nmemory_max = "32M"\n')
    services.until(lambda: services.pid("changing") not in (0, before), 10)

    assert services.run("systemctl", "show", "-P", "MemoryMax", "strata-svc-changing.service").stdout.strip() == str(
        2**25
    )
    services.take_back()
    assert services.active_state("strata-svc-changing.service") == "inactive"
    assert "changing" not in {row["name"] for row in services.rows()}


def test_stopping_and_starting_by_systemctl_is_a_wish_too(services: Services) -> None:
    """What the operator's usual tool did is respected and told."""
    services.declare("outside", SLEEPER)
    services.until_healthy("outside", 10)
    services.run("systemctl", "stop", "strata-svc-outside.service")
    services.until(lambda: services.state("outside") == "Stopped", 5)

    assert "stopped outside Strata" in {event["message"] for event in services.events()}
    services.call("supervisor.svc.start", {"name": "outside"})
    assert services.state("outside") == "Healthy"


def test_a_stop_by_systemctl_is_no_crash(services: Services) -> None:
    """Nor is a restart; however long the process takes to end, and whatever it ends with."""
    slow = "trap 'sleep 1; exit 3' TERM; while :; do sleep 0.1; done"
    services.declare("ended", f'command = ["/bin/sh", "-c", "{slow}"]\n')
    services.until_healthy("ended", 10)
    pid = services.pid("ended")
    services.run("systemctl", "restart", "strata-svc-ended.service")
    services.until(lambda: services.state("ended") == "Healthy" and services.pid("ended") != pid, 10)
    services.run("systemctl", "stop", "strata-svc-ended.service")
    services.until(lambda: services.state("ended") == "Stopped", 5)
    told = [event["event"] for event in services.events() if event["service"] == "ended"]

    assert told.count("svc.stop") == 1
    assert not [event for event in told if "crash" in event]


def test_a_stop_by_systemctl_of_one_that_exits_with_a_status_is_no_crash(services: Services) -> None:
    """Many a program ends with 143 on SIGTERM, and at once: its unit has failed before anybody can ask for the job."""
    services.declare("leaving", f"command = {LEAVING}\n")
    services.until_healthy("leaving", 10)
    services.kill("leaving")
    services.until(lambda: services.row("leaving")["restarts"] == 1, 10)
    services.until_healthy("leaving", 10)
    services.run("systemctl", "stop", "strata-svc-leaving.service")
    services.until(lambda: services.state("leaving") == "Stopped", 5)

    crashes = [one for one in services.events() if (one["service"], one["event"]) == ("leaving", "svc.crash")]
    assert len(crashes) == 1  # of the kill


@pytest.mark.parametrize("on_term", ["exit 143", "sleep 0.3; exit 0"])
def test_a_start_ends_when_somebody_stops_the_service_meanwhile(services: Services, on_term: str) -> None:
    """It says so, and waits no longer for what nobody will start again."""
    never_ready = f"trap '{on_term}' TERM; while :; do sleep 0.05; done"
    services.declare(
        "waited", f'type = "notify"\ncommand = ["/bin/sh", "-c", "{never_ready}"]\nstart_timeout = "50s"\n'
    )
    services.until(lambda: services.pid("waited") > 0, 10)
    services.call("supervisor.svc.stop", {"name": "waited"})
    told: list[str] = []
    starter = threading.Thread(target=lambda: told.append(_refused(services, "start", "waited")))
    starter.start()
    services.until(lambda: services.pid("waited") > 0, 10)
    services.run("systemctl", "stop", "strata-svc-waited.service")
    starter.join(timeout=10)

    assert told == ["waited was stopped while it was starting"]
    assert services.state("waited") == "Stopped"


@pytest.mark.parametrize(
    ("directive", "reason"),
    [
        ('Service]\nRestart = "no"', "it exited with status 1, and nothing is about to start it"),
        ('Unit]\nConditionPathExists = "/nowhere"', "its unit has it so (Condition"),
    ],
)
def test_a_start_ends_when_systemd_gives_the_service_up(services: Services, directive: str, reason: str) -> None:
    """Its manifest may say that it is not to be restarted, or not to be started."""
    services.declare(
        "once", f'command = ["/bin/sh", "-c", "exit 1"]\nstart_timeout = "50s"\n{PROBED}[unit.{directive}\n'
    )
    services.until(lambda: services.active_state("strata-svc-once.service") in ("failed", "inactive"), 10)
    started = time.monotonic()

    assert reason in _refused(services, "start", "once")
    assert time.monotonic() - started < 10


def _refused(services: Services, verb: str, name: str, **params: int) -> str:
    """Why the verb was refused."""
    with pytest.raises(StrataError) as refused:
        services.call(f"supervisor.svc.{verb}", {"name": name, **params})
    return refused.value.message


def test_a_service_with_a_short_time_to_stop_is_stopped_within_it(services: Services) -> None:
    """The usual two seconds are no more than a usual value."""
    services.declare("brisk", SLEEPER + 'stop_timeout = "1s"\n')
    services.until_healthy("brisk", 10)

    assert services.call("supervisor.svc.stop", {"name": "brisk"}) == {"status": "stopped"}
    assert "stop_timeout" in _refused(services, "stop", "brisk", drain_ms=1500)


def test_a_registry_that_its_client_starts_knows_what_is_registered(strata: Node, services: Services) -> None:
    """Its table goes when it is stopped; the first answer waits for the supervisor to tell it all."""
    services.run("systemctl", "stop", "strata-registry.service")
    services.until(lambda: services.active_state("strata-registry.service") == "inactive", 10)
    assert strata.call("registry.resolve", {"service": "fs"})["unit"] == "strata-fs.service"
    assert {"fs", "identity"} <= strata.registered()
    services.until_healthy("registry", 10)


def test_an_on_demand_service_is_started_by_its_first_client(strata: Node, services: Services) -> None:
    """It is registered while nothing runs, answers the first client, and may end by itself."""
    services.declare("greeter", ECHO_ON_DEMAND)
    services.until(lambda: "greeter" in strata.registered(), 10)
    assert services.pid("greeter") == 0
    for _ in range(2):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(20)
            client.connect(str(services.paths.runtime_dir / "greeter.sock"))
            client.sendall(b"hello")
            assert client.recv(64) == b"hello"
        services.until(lambda: services.active_state("strata-svc-greeter.service") == "inactive", 10)


def test_an_on_demand_service_that_waits_is_no_problem(strata: Node, services: Services) -> None:
    """`status` says that all is well, and `up` does not wait for a client to come."""
    services.declare("greeter", ECHO_ON_DEMAND)
    services.until(lambda: "greeter" in strata.registered(), 10)

    assert strata.ctl("status").returncode == 0
    assert strata.ctl("up", "--timeout", "10s").returncode == 0


def test_a_stopped_service_is_not_registered(strata: Node, services: Services) -> None:
    """The registry follows unit states."""
    services.call("supervisor.svc.stop", {"name": "fs"})
    services.until(lambda: "fs" not in strata.registered(), 5)
    services.call("supervisor.svc.start", {"name": "fs"})

    services.until(lambda: "fs" in strata.registered(), 5)


def test_events_are_streamed_as_they_happen(services: Services) -> None:
    """A follower hears of a stop without asking again."""
    heard: list[str] = []

    def follow() -> None:
        with Client(services.paths.socket("supervisor"), timeout=30) as client:
            for event in client.stream("supervisor.events", {"since": last}):
                heard.append(event["event"])
                if event["event"] == "svc.stopped":
                    return

    services.declare("watched", SLEEPER)
    services.until_healthy("watched", 10)
    last = services.events()[-1]["seq"]
    follower = threading.Thread(target=follow)
    follower.start()
    services.call("supervisor.svc.stop", {"name": "watched"})
    follower.join(timeout=30)

    assert "svc.stop" in heard
    assert heard[-1] == "svc.stopped"


def test_describe_tells_unit_limits_usage_and_why(services: Services) -> None:
    """All an operator wants to know of one service, in one answer."""
    services.declare("told", SLEEPER + '[limits]\nmemory_max = "64M"\n')
    services.until_healthy("told", 10)
    services.kill("told")
    services.until(lambda: services.row("told")["restarts"] == 1, 10)
    services.until_healthy("told", 10)
    found = services.call("supervisor.svc.describe", {"name": "told"})

    assert found["unit"] == "strata-svc-told.service"
    assert found["limits"] == {"memory_max": "64M"}
    assert found["usage"]["memory_bytes"] > 0
    assert found["restarts"] == 1
    assert found["systemd"]["active"] == "active"
    assert found["control_group"].endswith("strata.slice/strata-svc-told.service")


def test_another_user_may_look_but_not_touch(strata: Node) -> None:
    """status and list are open; start, stop, restart, reset and reload need an operator."""
    assert strata.ask("supervisor.status", uid=65534)["ok"]
    assert strata.ask("supervisor.svc.list", uid=65534)["ok"]
    for verb in ("start", "stop", "restart", "reset", "reload"):
        code, _ = strata.refusal(f"supervisor.svc.{verb}", {"name": "fs"}, uid=65534)
        assert code in (Unauthenticated.code, PermissionDenied.code), verb


def test_a_token_makes_an_operator(strata: Node) -> None:
    """A capability for service `supervisor` with the action lets another user restart a service; without it, not."""
    token = strata.call("identity.issue", {"service": "supervisor", "actions": ["svc.reset"]})["token"]

    assert strata.ask("supervisor.svc.reset", {"name": "fs"}, uid=65534, token=token)["ok"]
    code, _ = strata.refusal("supervisor.svc.stop", {"name": "fs"}, uid=65534, token=token)
    assert code == PermissionDenied.code


def test_a_systemd_that_does_not_answer_delays_only_what_needs_it(strata: Node, services: Services) -> None:
    """PID 1 stopped: status answers at once, a restart is Unavailable in bounded time, and all goes on afterwards."""
    if strata.manager.embedded is None:
        pytest.skip("stopping PID 1 is only possible where it is a private one")
    pid = strata.manager.embedded.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(Unavailable, match="did not answer within"):
            services.call("supervisor.svc.reset", {"name": "fs"})
        waited = time.monotonic() - started
        started = time.monotonic()
        services.call("supervisor.status")
        answered = time.monotonic() - started
    finally:
        os.kill(pid, signal.SIGCONT)
    assert answered < 1.0
    assert waited < 15.0
    services.until(lambda: _works(services), 30)
    services.until_healthy("fs", 30)


def test_a_systemd_that_reexecutes_is_found_again(services: Services) -> None:
    """daemon-reexec drops every connection to PID 1; states stay right and calls go on working."""
    services.run("systemctl", "daemon-reexec")
    services.until(lambda: _works(services), 20)
    services.declare("after-reexec", SLEEPER)

    services.until_healthy("after-reexec", 10)
    assert services.state("fs") == "Healthy"


def _works(services: Services) -> bool:
    try:
        services.call("supervisor.svc.reset", {"name": "registry"})
    except StrataError:
        return False
    return True


def test_placeholders_hold_in_health_checks_too(services: Services) -> None:
    """`${runtime_dir}` in a check means the same as in a command."""
    services.declare(
        "asked",
        SLEEPER + '[health]\nkind = "exec"\ncommand = ["/usr/bin/test", "-S", "${runtime_dir}/supervisor.sock"]\n',
    )

    services.until_healthy("asked", 10)


def _try(services: Services, verb: str, name: str) -> bool:
    """Whether the verb was acknowledged; with the supervisor killed under it, or in the wrong state, it is not."""
    try:
        services.call(f"supervisor.svc.{verb}", {"name": name})
    except StrataError:
        return False
    return True


def test_100_sigkill_at_any_moment_loses_nothing_acknowledged(services: Services) -> None:
    """Killed amid starts, stops and restarts: what was acknowledged holds, and states agree with systemd."""
    chance = random.Random(100)
    names = ["one", "two", "three"]
    for name in names:
        services.write(name, SLEEPER)
    services.call("supervisor.svc.reload", {"apply": True})
    for name in names:
        services.until_healthy(name, 10)
    wanted = dict.fromkeys(names, "Healthy")
    for _ in range(10):
        name, verb = chance.choice(names), chance.choice(["stop", "start", "restart"])
        acknowledged: list[bool] = []
        work = threading.Thread(target=lambda n=name, v=verb, a=acknowledged: a.append(_try(services, v, n)))
        work.start()
        time.sleep(chance.uniform(0, 0.03))  # not a wait: the moment of the kill is what varies
        services.kill_unit("strata-supervisor.service")
        work.join(timeout=60)
        services.until(lambda n=name: _try(services, "describe", n), 30)
        if acknowledged == [True]:
            wanted[name] = "Stopped" if verb == "stop" else "Healthy"
        else:
            services.until(lambda n=name: services.state(n) in ("Healthy", "Stopped"), 20)
            wanted[name] = services.state(name)
        services.until(lambda: {n: services.state(n) for n in names} == wanted, 20)
    for name in names:
        active = services.active_state(f"strata-svc-{name}.service")
        assert (active == "active") is (wanted[name] == "Healthy"), name


def test_a_wished_restart_is_no_crash(services: Services) -> None:
    """Restarting on request tells of no crash and counts towards no quarantine."""
    services.declare("calm", SLEEPER)
    services.until_healthy("calm", 10)
    before = services.pid("calm")
    services.call("supervisor.svc.restart", {"name": "calm"})

    told = [event for event in services.events() if event["service"] == "calm"]
    assert services.pid("calm") not in (0, before)
    assert "svc.crash" not in {event["event"] for event in told}
    assert "Crashed" not in {event.get("state") for event in told}


def test_no_end_is_told_twice(services: Services) -> None:
    """A service that ends three times within a blink has at most three svc.crash records, and one at least."""
    services.declare("blinking", 'command = ["/bin/false"]\n[restart]\nbackoff = "1ms"\ncrashes = 3\nwindow = "60s"\n')
    services.until(lambda: services.state("blinking") == "Quarantined", 20)

    assert 1 <= len(services.journal("STRATA_EVENT=svc.crash", "STRATA_SERVICE=blinking")) <= 3
