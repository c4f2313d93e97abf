# SPDX-License-Identifier: MIT
# The power is cut at any moment of a mixed load: what was acknowledged before is there after the boot, and no more.
# STRATA_POWERCUT_SEED repeats the moments of a run; STRATA_VM=long cuts more often.
import json
import os
import random
import time
from typing import Any

CUTS = 6 if os.environ.get("STRATA_VM") == "long" else 1
SEED = int(os.environ.get("STRATA_POWERCUT_SEED") or random.randrange(10**6))
ACKS, PROGRAM = "/run/powercut/acks", "/root/powercut.py"

# Runs in the machine. `load` works until the power is gone and writes a line for each answer that it has read; `check`
# reads such lines and prints what is not as they say. What may be taken away again is never promised to stay, so that
# work under way when the power goes makes no line wrong.
TEXT = r"""
import base64, glob, hashlib, json, os, random, socket, subprocess, sys, threading, time

FILES, SERVICES, STATE = "/srv/powercut", "/etc/strata/services.d", "/var/lib/strata"


class Line:
    def __init__(self, room):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(f"/run/strata/{room}.sock")

    def ask(self, method, params=None, token=""):
        said = {"v": 1, "req_id": "p", "method": method, "params": params or {}}
        raw = json.dumps(said | ({"auth": {"token": token}} if token else {})).encode()
        self.sock.sendall(len(raw).to_bytes(4, "big") + raw)
        return json.loads(self.exactly(int.from_bytes(self.exactly(4), "big")))

    def exactly(self, size):
        held = b""
        while len(held) < size:
            part = self.sock.recv(size - len(held))
            if not part:
                raise ConnectionError("closed")
            held += part
        return held


def call(method, params=None, token=""):
    line = Line(method.split(".")[0])
    try:
        reply = line.ask(method, params, token)
    finally:
        line.sock.close()
    if not reply["ok"]:
        raise RuntimeError(f"{method}: {reply['error']}")
    return reply.get("result") or {}


def durable(path, content):
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync(os.path.dirname(path))


def sync(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


# --- the load

LOCK, NAME = threading.Lock(), [0]


def ack(kind, *what):
    with LOCK:
        print(json.dumps([kind, *what]), file=ACKS, flush=True)


def fresh(prefix):
    with LOCK:
        NAME[0] += 1
        return f"{prefix}{RUN}x{NAME[0]}"


def issue():
    wanted = {"service": "fs", "actions": ["open", "read", "write", "list"], "path_prefix": FILES, "ttl_seconds": 86400}
    return call("identity.issue", wanted)


def tokens(dice):
    kept, child = issue(), None
    ack("token", kept["token"])
    gone = issue()
    child = call("identity.attenuate", {"token": gone["token"], "actions": ["list"]})
    call("identity.revoke", {"cap_id": gone["cap_id"]})
    ack("revoked", gone["token"], child["token"])


def keys(dice):
    time.sleep(dice.uniform(0.5, 3.0))
    found = call("identity.rotate")["keys"]
    ack("rotated", sorted(one["id"] for one in found if one["current"]))
    time.sleep(3600)


def services(dice):
    for kind in ("kept", "gone"):
        name = fresh(kind)
        durable(f"{SERVICES}/{name}.toml", b'command = ["/bin/sh", "-c", "while :; do sleep 3600; done"]\n')
        answer = call("supervisor.svc.reload", {"apply": True})
        if answer["problems"]:
            raise RuntimeError(str(answer["problems"]))
        if kind == "kept":
            ack("service", name)
    os.unlink(f"{SERVICES}/{name}.toml")
    sync(SERVICES)
    call("supervisor.svc.reload", {"apply": True})
    ack("no service", name)


def files(dice):
    token = issue()["token"]
    name, content = fresh("f"), dice.randbytes(dice.choice((100, 20_000, 400_000)))
    data = base64.b64encode(content).decode()
    call("fs.write", {"path": name, "data_b64": data, "create": True}, token)
    sync(f"{FILES}/{name}")
    sync(FILES)
    ack("file", name, hashlib.sha256(content).hexdigest())


def snapshots(dice):
    session = {"owner": dice.choice(("ann", "bob")), "session": fresh("s")}
    call("sandbox.create", session)
    command = "head -c 200000 /dev/urandom > f; sha256sum f"
    said = call("sandbox.exec", session | {"command": command, "timeout_ms": 60000})
    kept, gone = fresh("k"), fresh("g")
    call("sandbox.snapshot", session | {"name": kept})
    ack("snapshot", session["owner"], kept, said["stdout"].split()[0])
    call("sandbox.snapshot", session | {"name": gone})
    call("sandbox.remove_snapshot", session | {"name": gone})
    ack("no snapshot", session["owner"], gone)
    if dice.random() < 0.5:
        call("sandbox.close", session)


def again(work, seed):
    dice = random.Random(f"{seed} {work.__name__}")
    while True:
        time.sleep(dice.uniform(0.1, 1.0))
        try:
            work(dice)
        except Exception as error:
            ack("error", work.__name__, repr(error)[:500])
            time.sleep(1)


def load(seed):
    os.makedirs(FILES, exist_ok=True)
    works = (tokens, keys, services, files, snapshots)
    threads = [threading.Thread(target=again, args=(work, seed)) for work in works]
    for thread in threads:
        thread.start()


# --- the check


def check(lines):
    by = {}
    for kind, *what in lines:
        by.setdefault(kind, []).append(what)
    for look in (checked_tokens, checked_keys, checked_services, checked_files, checked_snapshots, checked_leftovers):
        yield from look(by)


def allowed(token):
    reply = Line("fs").ask("fs.list", {"path": "."}, token)
    return "" if reply["ok"] else reply["error"]["message"]


def checked_tokens(by):
    for (token,) in by.get("token", ()):
        if said := allowed(token):
            yield f"a token that was issued is refused: {said}"
    for pair in by.get("revoked", ()):
        for token in pair:
            if "revoked" not in (said := allowed(token)):
                yield f"a token that was revoked is not refused as that: {said!r}"


def checked_keys(by):
    current = sorted(one["id"] for one in call("identity.keys")["keys"] if one["current"])
    if "rotated" in by and [current] != by["rotated"][-1]:
        yield f"the keys are {current}, and {by['rotated'][-1]} had been acknowledged"


def systemd(unit, *names):
    said = subprocess.run(["systemctl", "show", unit, *(f"--property={name}" for name in names)],
                          capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in said.splitlines())


def checked_services(by):
    wanted = {name for (name,) in by.get("service", ())}
    deadline = time.monotonic() + 300
    while True:
        rows = {row["name"]: row for row in call("supervisor.svc.list")["services"]}
        late = [name for name, row in rows.items() if row["state"] != "Healthy"]
        if not late or time.monotonic() > deadline:
            break
        time.sleep(1)
    yield from (f"{name} is {rows[name]['state']}" for name in late)
    yield from (f"{name} was declared and is not there" for name in sorted(wanted - set(rows)))
    yield from (f"{name} was removed and is there" for (name,) in by.get("no service", ()) if name in rows)
    for name, row in rows.items():
        found = systemd(row["unit"], "ActiveState", "MainPID")
        if (row["state"] == "Healthy") != (found["ActiveState"] == "active") or str(row["pid"]) != found["MainPID"]:
            yield f"{name} is {row['state']} with pid {row['pid']}, and to systemd {found}"


def checked_files(by):
    for name, wanted in by.get("file", ()):
        try:
            found = hashlib.sha256(open(f"{FILES}/{name}", "rb").read()).hexdigest()
        except OSError as error:
            yield f"a file that was synced: {error}"
        else:
            if found != wanted:
                yield f"{name} has another content than was synced"


def checked_snapshots(by):
    there = {}
    for owner in ("ann", "bob"):
        listed = call("sandbox.snapshots", {"owner": owner, "session": "x"})["snapshots"]
        there[owner] = {one["name"] for one in listed}
    for owner, name, _ in by.get("snapshot", ()):
        if name not in there[owner]:
            yield f"the snapshot {owner}/{name} is gone"
    for owner, name in by.get("no snapshot", ()):
        if name in there[owner]:
            yield f"the snapshot {owner}/{name} was removed and is there"
    for owner, name, wanted in by.get("snapshot", ()):
        found = hashlib.sha256(open(f"{STATE}/sandbox/snapshots/{owner}/{name}/upper/root/f", "rb").read()).hexdigest()
        if found != wanted:
            yield f"the snapshot {owner}/{name} has another content"
    if by.get("snapshot"):  # and one of them is opened, which is what it is for
        owner, name, wanted = by["snapshot"][-1]
        session = {"owner": owner, "session": "after"}
        call("sandbox.create", session | {"from_snapshot": name})
        said = call("sandbox.exec", session | {"command": "sha256sum f", "timeout_ms": 60000})["stdout"]
        call("sandbox.close", session)
        if said.split()[0] != wanted:
            yield f"a session on {owner}/{name} sees another content"


def checked_leftovers(by):
    left = call("sandbox.list")["sessions"]
    left += [path for path in glob.glob(f"{STATE}/sandbox/sessions/**", recursive=True) if os.path.isfile(path)]
    left += glob.glob(f"{STATE}/sandbox/snapshots/*/.*")
    left += glob.glob("/sys/fs/cgroup/**/strata-sandbox-*.scope", recursive=True)
    for file in glob.glob("/sys/block/loop*/loop/backing_file"):
        left.append(open(file).read())
    left += [path for path in glob.glob(f"{STATE}/**/.*.new", recursive=True)]
    left += [path for path in glob.glob("/var/lib/private/strata/**/.*.new", recursive=True)]
    yield from (f"left of the boot before: {one}" for one in left)


if __name__ == "__main__":
    if sys.argv[1] == "load":
        RUN, ACKS = sys.argv[2], open(sys.argv[4], "w")
        load(sys.argv[3])
    else:
        print(json.dumps(list(check([json.loads(line) for line in sys.stdin]))))
"""


def healthy(names: list[str]) -> None:
    for unit in names:
        machine.wait_until_succeeds(f"systemctl is-active {unit}.service", timeout=300)


def cut(number: int, dice: random.Random) -> list[list[Any]]:
    """Load, and no power any more at some moment; what had been acknowledged until just before."""
    wanted = {"token", "revoked", "service", "file", "snapshot"}
    machine.succeed(f"mkdir -p /run/powercut /srv/powercut; touch {ACKS}")
    machine.succeed(f"systemd-run --quiet --unit=powercut python3 {PROGRAM} load {number} {SEED}-{number} {ACKS}")
    retry(lambda last: wanted <= {line[0] for line in told(last)}, timeout=300)
    time.sleep(dice.uniform(0.0, 5.0))
    lines = told()
    machine.crash()
    return lines


def told(last: bool = False) -> list[list[Any]]:
    """What has been acknowledged until now."""
    lines: list[list[Any]] = [json.loads(line) for line in machine.succeed(f"cat {ACKS}").splitlines()]
    # A machine that is very slow may have a service killed by its watchdog: that is no answer, and promises nothing.
    assert not last, lines
    return lines


machine.wait_for_unit("strata-supervisor.service")
machine.succeed(f"cat > {PROGRAM} <<'END'\n{TEXT}\nEND\nsync")
machine.log(f"STRATA_POWERCUT_SEED={SEED}")
moments, acknowledged = random.Random(SEED), []
for number in range(CUTS):
    with subtest(f"cut {number + 1} of {CUTS}: the power goes in the middle of the work"):
        acknowledged += cut(number, moments)
        kinds = sorted({line[0] for line in acknowledged})
        machine.log(", ".join(f"{sum(line[0] == kind for line in acknowledged)} {kind}" for kind in kinds))

    with subtest("what was acknowledged is there after the boot, and nothing of the sessions"):
        started = time.monotonic()
        machine.start()
        machine.wait_for_unit("strata-supervisor.service")
        healthy(["strata-identity", "strata-fs", "strata-sandbox"])
        text = "\n".join(json.dumps(line) for line in acknowledged)
        machine.succeed(f"cat > /run/acknowledged <<'END'\n{text}\nEND")
        wrong = json.loads(machine.succeed(f"python3 {PROGRAM} check < /run/acknowledged"))
        assert not wrong, "\n".join(wrong)
        machine.log(f"from power on to all of it checked in {time.monotonic() - started:.0f} s")

    with subtest("the file system came through"):
        machine.fail("dmesg | grep -E 'EXT4-fs error|I/O error'")
        assert "with errors" not in machine.succeed("tune2fs -l $(findmnt -no SOURCE /) | grep 'Filesystem state'")
