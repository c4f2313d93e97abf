# SPDX-License-Identifier: MIT
# Restarts that come later and later, as systemd 254 and newer have them (RestartSteps=), and the end of them.
import json
import shlex
from typing import Any

start_all()
machine.wait_for_unit("strata-supervisor.service")
machine.wait_until_succeeds("strata-ctl status", timeout=120)
PATH = machine.succeed("echo $PATH").strip()
EXITED, SCHEDULED = "98e322203f7a4ed290d09fe03c09fe15", "5eb03494b6584870a536b337290809b3"  # sd-messages.h
FAILING = """
[ -e /run/mended ] || exit 3
exec python3 -IS -c '
import socket
door = socket.socket(fileno=3)
while True:
    peer = door.accept()[0]
    peer.recv(4096)
    peer.sendall(b"HTTP/1.0 200 well\\r\\n\\r\\nhello\\n")
    peer.close()
'
"""


def manifest(command: str, *more: str) -> str:
    """A service in sh; of `more`, what begins with a bracket is a table."""
    words = f'command = ["/bin/sh", "-c", {json.dumps(command)}]'
    keys, tables = [text for text in more if text[0] != "["], [text for text in more if text[0] == "["]
    return "\n".join([words, *keys, f"[environment]\nPATH = {json.dumps(PATH)}", *tables]) + "\n"


def write(**manifests: str) -> None:
    """Files of services.d, by name."""
    files = "/etc/strata/services.d"
    commands = [f"printf %s {shlex.quote(text)} > {files}/{name}.toml" for name, text in manifests.items()]
    machine.succeed("; ".join([f"mkdir -p {files}", *commands]))


def row(name: str) -> dict[str, Any]:
    """What Strata says of a service."""
    services = json.loads(machine.succeed("strata-ctl supervisor.svc.list"))["result"]["services"]
    found: dict[str, Any] = next(one for one in services if one["name"] == name)
    return found


def moments(unit: str, message: str) -> list[float]:
    """When PID 1 said this of a unit, in seconds."""
    said = machine.succeed(f"journalctl --boot --output=json UNIT={unit} MESSAGE_ID={message}")
    return [int(json.loads(line)["__MONOTONIC_TIMESTAMP"]) / 1e6 for line in said.splitlines()]


def delays(name: str) -> list[float]:
    """Seconds from each end of a service to its next start."""
    unit = f"strata-svc-{name}.service"
    return [start - end for end, start in zip(moments(unit, EXITED), moments(unit, SCHEDULED), strict=False)]


def prop(name: str, what: str) -> str:
    return machine.succeed(f"systemctl show -P {what} strata-svc-{name}").strip()


with subtest("a service that fails again and again is started later and later"):
    write(
        failing=manifest(
            FAILING,
            '[health]\nkind = "exec"\ncommand = ["/bin/sh", "-c", "test -e /run/mended"]',
            '[socket]\nlisten = "${runtime_dir}/failing.sock"',
            '[restart]\nbackoff = "1s"\nbackoff_max = "32s"\ncrashes = 4',
        ),
        # What comes after something that never is Healthy is not started.
        waiting=manifest("exec sleep infinity", 'after = ["failing"]'),
        steady=manifest("exec sleep infinity", '[restart]\nbackoff = "1s"\ncrashes = 3\nwindow = "8s"'),
    )
    machine.succeed("strata-ctl reload --apply")
    machine.succeed("systemctl kill --signal=SIGKILL strata-svc-steady.service")
    machine.wait_until_succeeds("[ $(systemctl show -P ActiveState strata-svc-failing) = failed ]", 60)
    found = delays("failing")
    assert len(found) == 4, found
    for number, seconds in enumerate(found):
        wanted = 2.0**number
        assert 0.95 * wanted <= seconds <= 1.1 * wanted + 1, (number, found)
    assert prop("failing", "NRestarts") == "4"

with subtest("then it is Quarantined, and status says why and what to do"):
    machine.wait_until_succeeds('strata-ctl supervisor.svc.describe \'{"name":"failing"}\' | grep -q Quarantined', 30)
    said = machine.fail("strata-ctl status")
    assert "it exited with status 3" in said and "strata-ctl reset failing" in said, said
    said = machine.succeed("journalctl --output=cat STRATA_SERVICE=failing STRATA_EVENT=svc.quarantined")
    assert "-> Quarantined" in said and "status 3" in said, said
    assert row("waiting")["state"] == "Declared", row("waiting")

with subtest("its socket is closed, and clients are told so at once"):
    assert prop("failing.socket", "Result") == "service-start-limit-hit"
    machine.fail("test -e /run/strata/failing.sock", "systemctl is-active strata-svc-failing.socket")
    said = machine.fail("curl --silent --show-error --unix-socket /run/strata/failing.sock http://failing/ 2>&1")
    assert "connect" in said.lower(), said
    said = machine.fail('strata-ctl registry.resolve \'{"service":"failing"}\'')
    assert json.loads(said)["error"]["name"] == "NOT_FOUND", said

with subtest("a long time Healthy has its crashes forgiven"):
    machine.wait_until_succeeds("journalctl --output=cat STRATA_EVENT=svc.recovered | grep steady", 30)
    assert (prop("steady", "NRestarts"), row("steady")["restarts"]) == ("0", 0)
    machine.succeed("systemctl kill --signal=SIGKILL strata-svc-steady.service")
    machine.wait_until_succeeds("[ $(systemctl show -P NRestarts strata-svc-steady) = 1 ]", 30)
    assert max(delays("steady")) < 2.1, delays("steady")

with subtest("reset lets it go on, and start brings it and its socket back"):
    machine.succeed("touch /run/mended; strata-ctl reset failing")
    assert row("failing")["state"] == "Declared", row("failing")
    machine.succeed("strata-ctl start failing")
    assert (row("failing")["state"], prop("failing", "NRestarts")) == ("Healthy", "0")
    said = machine.succeed("curl --silent --show-error --unix-socket /run/strata/failing.sock http://failing/")
    assert said == "hello\n", said
    found = json.loads(machine.succeed('strata-ctl registry.resolve \'{"service":"failing"}\''))
    assert found["result"]["endpoint"] == "unix:///run/strata/failing.sock", found

with subtest("what came after it is started now"):
    machine.wait_until_succeeds("systemctl is-active strata-svc-waiting", 30)
    machine.succeed("rm /etc/strata/services.d/*.toml; strata-ctl reload --apply; strata-ctl status")
