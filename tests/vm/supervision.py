# SPDX-License-Identifier: MIT
# System mode under PID 1: what files declare comes up in order, is asked for its health, is restarted, survives the
# supervisor and PID 1 executing itself anew, and is stopped when its file is gone.
import json
import shlex
from typing import Any

start_all()
machine.wait_for_unit("strata-supervisor.service")
machine.wait_until_succeeds("strata-ctl status", timeout=120)
PATH = machine.succeed("echo $PATH").strip()

# PORT ANSWERS THEN: after so many answers of "200 well" it goes on with THEN, or closes its door when that is "-".
# Small enough to start at once on a slow machine.
SERVER = """
import os, signal, socket, sys
port, most, status = int(sys.argv[1]), int(sys.argv[2]), "200 well"
door = socket.socket(fileno=3) if "LISTEN_FDS" in os.environ else socket.create_server(("127.0.0.1", port))
while True:
    if most == 0:
        status = sys.argv[3]
    if status == "-":
        door.close()
        signal.pause()
    peer = door.accept()[0]
    peer.recv(4096)
    peer.sendall(f"HTTP/1.0 {status}\\r\\n\\r\\nhello\\n".encode())
    peer.close()
    most -= 1
"""
ONCE_READY = "sleep 1; systemd-notify --ready; exec sleep infinity"
# Each of these falls ill when it runs for the first time, and not again.
UNPINGED = """
import os, signal, socket, time
door = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
door.connect(os.environ["NOTIFY_SOCKET"])
door.send(b"READY=1")
if not os.path.exists("/run/unpinged"):
    open("/run/unpinged", "w").close()
    signal.pause()
while True:
    door.send(b"WATCHDOG=1")
    time.sleep(1)
"""
UNWELL = """
touch /run/well
[ -e /run/unwell ] || { touch /run/unwell; sleep 2; rm /run/well; }
exec sleep infinity
"""
ERRING = """
[ -e /run/erring ] && exec python3 -IS -c "$SERVER" 8090 -1
touch /run/erring
exec python3 -IS -c "$SERVER" 8090 2 "500 ill"
"""
CLOSED = """
[ -e /run/closed ] && exec python3 -IS -c "$SERVER" 8091 -1
touch /run/closed
exec python3 -IS -c "$SERVER" 8091 2 -
"""
SEALED = """
exec > $STATE_DIRECTORY/seen 2>&1
echo user=$(id -u)
echo networks=$(awk -F: 'NR > 2 { print $1 }' /proc/self/net/dev | xargs)
bash -c 'echo > /dev/tcp/127.0.0.1/2280' || echo network=refused
touch /usr/mark || echo usr=refused
touch /etc/mark || echo etc=refused
cat /home/alice/letter || echo home=refused
cat /root/letter || echo root=refused
ls /dev/vda || echo disk=refused
mount -t tmpfs tmpfs /tmp || echo mount=refused
cat /etc/strata-vm.key || echo source=refused
echo key=$(cat $CREDENTIALS_DIRECTORY/key)
env > $STATE_DIRECTORY/env && echo own=written
exec sleep infinity
"""


def manifest(command: str, *more: str, **variables: str) -> str:
    """A service in sh; of `more`, what begins with a bracket is a table."""
    words = f'command = ["/bin/sh", "-c", {json.dumps(command)}]'
    environment = [f"{name} = {json.dumps(value)}" for name, value in {"PATH": PATH, **variables}.items()]
    keys, tables = [text for text in more if text[0] != "["], [text for text in more if text[0] == "["]
    return "\n".join([words, *keys, "[environment]", *environment, *tables]) + "\n"


def write(**manifests: str) -> None:
    """Files of services.d, by name."""
    files = "/etc/strata/services.d"
    commands = [f"printf %s {shlex.quote(text)} > {files}/{name}.toml" for name, text in manifests.items()]
    machine.succeed("; ".join([f"mkdir -p {files}", *commands]))


def rows() -> dict[str, dict[str, Any]]:
    """What Strata says of each service."""
    said = json.loads(machine.succeed("strata-ctl supervisor.svc.list"))
    return {row["name"]: row for row in said["result"]["services"]}


def wait_until_healthy(*names: str, restarts: int = 0) -> None:
    def reached(last: bool) -> bool:
        found = [(row["name"], row["state"]) for row in rows().values() if row["restarts"] >= restarts]
        assert not last or {(name, "Healthy") for name in names} <= set(found), rows()
        return {(name, "Healthy") for name in names} <= set(found)

    retry(reached, timeout=60)


def processes(*names: str) -> dict[str, str]:
    """The main process of each service, as PID 1 knows it."""
    units = " ".join(f"strata-svc-{name}.service" for name in names)
    return dict(zip(names, machine.succeed(f"systemctl show -P MainPID {units}").split(), strict=True))


def told(name: str) -> list[str]:
    """The events of a service, as the journal has them."""
    said = machine.succeed(f"journalctl --boot --output=json --output-fields=STRATA_EVENT STRATA_SERVICE={name}")
    return [event for line in said.splitlines() if (event := json.loads(line).get("STRATA_EVENT"))]


with subtest("the core runs in strata.slice, with names and descriptions"):
    said = machine.succeed("systemctl status --no-pager --lines=0 'strata-*'")
    for line in (
        "strata-supervisor.service - Strata supervisor",
        "strata-registry.service - Strata registry: which service answers where",
        "strata-identity.service - Strata identity: issues and revokes capability tokens",
        "strata-fs.service - Strata fs: files beneath a token's prefix",
        "strata-sandbox.service - Strata sandbox: sessions for untrusted commands",
        "strata-api.service - Strata api: sandboxes over HTTP, WebSocket, gRPC and MCP",
    ):
        assert line in said, f"{line!r} is not in:\n{said}"
    machine.succeed(
        "cd /sys/fs/cgroup/strata.slice; ls -d strata-{supervisor,registry,identity,fs,sandbox,api}.service"
    )

with subtest("what files declare comes up, each after what it needs is Healthy"):
    machine.succeed(
        "mkdir -p /home/alice; echo dear | tee /home/alice/letter > /root/letter",
        "umask 077; echo s3cr3t > /etc/strata-vm.key",
    )
    often = 'interval = "2s"\nfailures = 1'
    # So late that the supervisor of a slow machine sees the end of each before it begins anew.
    late = '[restart]\nbackoff = "3s"'
    write(
        first=manifest(
            ONCE_READY,
            'type = "notify"',
            'description = "Says itself when it is ready"',
            late,
            # The unit is seen on its way down for a moment, which is the state Crashed.
            '[unit.Service]\nNotifyAccess = "all"\nExecStopPost = "/bin/sh -c \'sleep 1\'"',
        ),
        second=manifest("exec sleep infinity", 'after = ["first"]', late),
        third=manifest("exec sleep infinity", 'after = ["second"]'),
        asked=manifest(
            'exec python3 -IS -c "$SERVER" 0 -1',
            'activation = "on-demand"',
            '[socket]\nlisten = "${runtime_dir}/asked.sock"',
            SERVER=SERVER,
        ),
        sealed=manifest(
            SEALED, 'profile = "sealed"', "state_directory = true", '[credentials]\nkey = "/etc/strata-vm.key"'
        ),
        unpinged=manifest(
            'exec python3 -IS -c "$PROGRAM"',
            'type = "notify"',
            late,
            '[health]\nkind = "watchdog"\ninterval = "5s"\ntimeout = "1s"',
            PROGRAM=UNPINGED,
        ),
        unwell=manifest(
            UNWELL, late, f'[health]\nkind = "exec"\ncommand = ["/bin/sh", "-c", "test -e /run/well"]\n{often}'
        ),
        erring=manifest(
            ERRING, late, f'[health]\nkind = "http"\nurl = "http://127.0.0.1:8090/"\n{often}', SERVER=SERVER
        ),
        closed=manifest(CLOSED, late, f'[health]\nkind = "tcp"\ntarget = "127.0.0.1:8091"\n{often}', SERVER=SERVER),
    )
    machine.succeed("strata-ctl reload --apply")
    wait_until_healthy("first", "second", "third", "sealed")
    started, ready = "ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic"
    units = "strata-svc-first strata-svc-second strata-svc-third"
    began = [int(moment) for moment in machine.succeed(f"systemctl show -P {started} {units}").split()]
    came = [int(moment) for moment in machine.succeed(f"systemctl show -P {ready} {units}").split()]
    assert came[0] < began[1] <= came[1] < began[2], (began, came)
    assert came[0] - began[0] > 900_000, "first is ready when it says so, a second after its start"

with subtest("systemctl and strata-ctl tell the same of each"):
    said = machine.succeed("systemctl list-units --no-legend --plain --all 'strata-svc-*'")
    listed = {words[0]: words[2] for words in (line.split(None, 4) for line in said.splitlines())}
    assert "Says itself when it is ready" in said, said
    table, pids = rows(), processes("first", "second", "third", "sealed")
    for name, pid in pids.items():
        assert (listed[f"strata-svc-{name}.service"], table[name]["state"]) == ("active", "Healthy"), (name, said)
        assert str(table[name]["pid"]) == pid, (table[name], pid)
    groups = machine.succeed("cat " + " ".join(f"/proc/{pid}/cgroup" for pid in pids.values()))
    assert groups.split() == [f"0::/strata.slice/strata-svc-{name}.service" for name in pids], groups

with subtest("a socket listens before its service runs, and the first client starts it"):
    assert listed["strata-svc-asked.socket"] == "active" and table["asked"]["state"] == "Declared", table["asked"]
    assert machine.succeed("curl -sS --unix-socket /run/strata/asked.sock http://asked/") == "hello\n"
    wait_until_healthy("asked")
    found = json.loads(machine.succeed('strata-ctl registry.resolve \'{"service":"asked"}\''))
    assert found["result"]["endpoint"] == "unix:///run/strata/asked.sock", found

with subtest("a sealed service sees neither network nor homes nor disks, and can write nothing but its own"):
    seen = machine.succeed("cat /var/lib/strata/sealed/seen")
    facts = dict(line.split("=", 1) for line in seen.splitlines() if "=" in line)
    for what in ("network", "usr", "etc", "home", "root", "disk", "mount", "source"):
        assert facts.get(what) == "refused", f"{what} is not refused:\n{seen}"
    assert facts["networks"] == "lo" and int(facts["user"]) >= 61184, seen  # DynamicUser=, systemd.exec(5)
    assert facts["own"] == "written", seen
    spaces = machine.succeed(f"readlink /proc/{pids['sealed']}/ns/net /proc/1/ns/net").split()
    assert spaces[0] != spaces[1], spaces

with subtest("a credential reaches its service, and is in no environment, no unit and no other's sight"):
    assert facts["key"] == "s3cr3t", seen
    machine.succeed("test -e /run/credentials/strata-svc-sealed.service/key")
    machine.fail("setpriv --reuid=65534 --clear-groups cat /run/credentials/strata-svc-sealed.service/key")
    said = machine.succeed(
        "cat /var/lib/strata/sealed/env; strata-ctl unit cat sealed; strata-ctl describe sealed",
        f"cat /proc/{pids['sealed']}/environ | tr '\\0' '\\n'; systemctl show strata-svc-sealed",
    )
    assert "CREDENTIALS_DIRECTORY=" in said and "s3cr3t" not in said, said

with subtest("who is killed is Crashed, then Restarting, then Healthy again, and the journal says so"):
    before = len(told("first"))
    machine.succeed("systemctl kill --kill-whom=main --signal=SIGKILL strata-svc-first.service")
    wait_until_healthy("first", restarts=1)
    since = told("first")[before:]
    assert since == ["svc.crash", "svc.crashed", "svc.restarting", "svc.starting", "svc.healthy"], since
    said = machine.succeed("journalctl --boot --output=cat STRATA_SERVICE=first STRATA_EVENT=svc.crash")
    assert said == "first: it was killed by SIGKILL\n", said
    assert "Crashed -> Restarting: it was killed by SIGKILL" in machine.succeed("strata-ctl events")
    assert processes("first")["first"] != pids["first"]

with subtest("who does not answer is killed and comes back: the watchdog, a command, http, tcp"):
    wait_until_healthy("unpinged", "unwell", "erring", "closed", restarts=1)
    said = machine.succeed("journalctl --boot --output=cat STRATA_EVENT=svc.crash + STRATA_EVENT=svc.unhealthy")
    for line in (
        "unpinged: it did not answer the watchdog in time by SIGABRT",
        "unwell: killed: /bin/sh exited with status 1",
        "erring: killed: http://127.0.0.1:8090/ answered 500",
        "closed: killed: [Errno 111] Connection refused",
    ):
        assert line in said, f"{line!r} is not in:\n{said}"

with subtest("a manifest that changed restarts its own service and no other, and one that is gone stops its own"):
    kept, old = processes("first", "second", "sealed", "asked"), processes("third", "unpinged", "erring")
    write(third=manifest("exec sleep infinity", 'after = ["second"]', SAID="otherwise"))
    machine.succeed("cd /etc/strata/services.d; rm unpinged.toml unwell.toml erring.toml closed.toml")
    said = machine.succeed("strata-ctl reload --apply")
    assert "restart third: its manifest changed" in said and "stop erring" in said, said
    assert not [name for name in kept if name in said], said
    wait_until_healthy("third")
    machine.fail(" || ".join(f"kill -0 {pid}" for pid in old.values()))
    machine.succeed(f"tr '\\0' '\\n' < /proc/{processes('third')['third']}/environ | grep -x SAID=otherwise")
    assert processes(*kept) == kept
    assert sorted(set(rows()) & {"unpinged", "unwell", "erring", "closed", "third"}) == ["third"], rows()

with subtest("a killed supervisor leaves every service as it is, comes back and takes them on"):
    kept = processes("first", "second", "third", "sealed", "asked")
    session = machine.succeed("strata-ctl exec kept/session -- 'echo $$'")
    machine.succeed("systemctl kill --kill-whom=main --signal=SIGKILL strata-supervisor.service")
    machine.wait_until_succeeds("[ $(systemctl show -P NRestarts strata-supervisor) = 1 ] && strata-ctl status", 60)
    assert processes(*kept) == kept
    found = rows()
    assert all(found[name]["state"] == "Healthy" for name in kept), found

with subtest("systemd reads its units anew and executes itself anew: nothing changes, and states are told as before"):
    machine.succeed("systemctl daemon-reload; systemctl daemon-reexec")
    machine.wait_until_succeeds("strata-ctl describe second", 60)  # asks systemd, over a connection that is new
    assert processes(*kept) == kept
    before = len(told("second"))
    machine.succeed("systemctl kill --signal=SIGKILL strata-svc-second.service")
    wait_until_healthy("second", restarts=1)
    since = told("second")[before:]
    assert (since[0], since[-1]) == ("svc.crash", "svc.healthy") and "svc.restarting" in since, since
    assert machine.succeed("strata-ctl exec kept/session -- 'echo $$'") == session
    write(fourth=manifest("exec sleep infinity", 'after = ["second"]'))
    machine.succeed("strata-ctl reload --apply; strata-ctl exec new/session -- true")
    wait_until_healthy("fourth")

with subtest("a file that cannot be used is told by name and key, and harms nobody"):
    kept = processes("first", "third", "sealed", "asked", "fourth")
    machine.succeed("echo 'comand = [\"x\"]' > /etc/strata/services.d/typo.toml")
    said = machine.fail("strata-ctl reload --apply 2>&1; strata-ctl status")
    assert "typo.toml" in said and "comand" in said, said
    assert processes(*kept) == kept

with subtest("the last file that is gone takes its socket with it"):
    machine.succeed("rm /etc/strata/services.d/*.toml; strata-ctl reload --apply")
    machine.fail("systemctl is-active 'strata-svc-*' || test -e /run/strata/asked.sock")
