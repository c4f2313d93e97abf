# SPDX-License-Identifier: MIT
# Limits of services and of sessions, enforced by cgroup v2 with all its controllers, and what is said of who met one.
import json
import shlex
import time
from typing import Any

start_all()
machine.wait_for_unit("strata-supervisor.service")
machine.wait_until_succeeds("strata-ctl status", timeout=120)
PATH = machine.succeed("echo $PATH").strip()
TOP = "/sys/fs/cgroup/strata.slice"
MIB = 1 << 20
OWNER = '[sandbox.owner]\nmemory_max = "128M"\ntasks_max = 100\n'  # limits.nix says the same
DISK = "dd of=/dev/vdb if=/dev/zero bs=64k oflag=direct,dsync"


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


def send(name: str) -> str:
    """A datagram to this machine, and files that tell whether it went."""
    sent = f"bash -c 'echo hello > /dev/udp/127.0.0.1/9' && touch /run/{name}-sent"
    return f"{sent}; touch /run/{name}; exec sleep infinity"


def number(group: str, file: str, key: str = "") -> int:
    """A value of a file of a cgroup below strata.slice; of a line that begins with `key`."""
    said = machine.succeed(f"cat {TOP}/{group}/{file}")
    found = dict(line.rsplit(" ", 1) for line in said.splitlines()) if key else {"": said}
    return int(found[key])


def scope(owner: str, session: str) -> str:
    """The cgroup of a session."""
    return f"strata-sandbox.slice/strata-sandbox-{owner}.slice/strata-sandbox-{owner}-{session}.scope"


def described(owner: str, session: str) -> dict[str, Any]:
    """What Strata says of a session."""
    params = json.dumps({"owner": owner, "session": session})
    found: dict[str, Any] = json.loads(machine.succeed(f"strata-ctl sandbox.describe '{params}'"))["result"]
    return found


def ended(command: str) -> tuple[int, str]:
    """Exit code of a command and what it said, both streams together."""
    return machine.execute(f"exec 2>&1; {command}")


def share(group: str, seconds: int = 3) -> float:
    """The part of one processor that a cgroup has while seconds pass."""
    probe = f"cut -d' ' -f1 /proc/uptime; grep usage_usec {TOP}/{group}/cpu.stat"
    said = machine.succeed(f"{probe}; sleep {seconds}; {probe}").split()
    return (int(said[5]) - int(said[2])) / 1e6 / (float(said[3]) - float(said[0]))


with subtest("services with limits of every kind come up"):
    machine.succeed(
        f"{DISK} count=32 2> /run/unlimited; grep -q sandbox.owner /etc/strata/strata.toml"
        f" || {{ printf %s {shlex.quote(OWNER)} > /etc/strata/strata.toml; strata-ctl restart sandbox; }}"
    )
    write(
        hog=manifest(
            "exec tail /dev/zero",
            '[limits]\nmemory_max = "8M"\nmemory_swap_max = "0"',
            '[restart]\ncrashes = 2\nbackoff = "3s"',
        ),
        forker=manifest(
            "(for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 10000 & done); exec sleep infinity",
            "[limits]\ntasks_max = 6",
        ),
        spinner=manifest("while :; do :; done", '[limits]\ncpu_quota = "20%"'),
        writer=manifest(
            "dd of=/dev/vdb if=/dev/zero bs=64k count=96 oflag=direct,dsync 2> /run/writer; exec sleep infinity",
            '[unit.Service]\nIOWriteBandwidthMax = "/dev/vdb 1M"',
        ),
        reader=manifest(
            "dd if=/dev/vdb of=/dev/null bs=64k count=96 iflag=direct 2> /run/reader; exec sleep infinity",
            '[unit.Service]\nIOReadBandwidthMax = "/dev/vdb 1M"',
        ),
        denied=manifest(
            send("denied"),
            '[unit.Service]\nIPAccounting = true\nIPAddressDeny = "any"',
        ),
        allowed=manifest(
            send("allowed"),
            '[unit.Service]\nIPAccounting = true\nIPAddressDeny = "any"\nIPAddressAllow = "localhost"',
        ),
    )
    machine.succeed("strata-ctl reload --apply")

with subtest("a service has the share of a processor that its cpu_quota says, and is held back for it"):
    machine.wait_until_succeeds("systemctl is-active strata-svc-spinner", 60)
    held = number("strata-svc-spinner.service", "cpu.stat", "nr_throttled")
    used = share("strata-svc-spinner.service")
    assert 0.08 < used < 0.45, used  # a slow machine loses ticks, and counts some twice
    assert number("strata-svc-spinner.service", "cpu.stat", "nr_throttled") - held > 5
    assert machine.succeed(f"cat {TOP}/strata-svc-spinner.service/cpu.max").split() == ["20000", "100000"]
    machine.succeed("rm /etc/strata/services.d/spinner.toml; strata-ctl reload --apply")

with subtest("a service has no more tasks than its tasks_max"):
    machine.wait_until_succeeds(f"grep -qE '^max [1-9]' {TOP}/strata-svc-forker.service/pids.events", 60)
    assert number("strata-svc-forker.service", "pids.max") == 6
    assert number("strata-svc-forker.service", "pids.current") <= 6
    assert "fork" in machine.succeed("journalctl --output=cat --unit=strata-svc-forker.service").lower()

with subtest("a service sends to nobody whom IPAddressDeny= names, and what it sends is counted"):
    machine.wait_until_succeeds("test -e /run/denied -a -e /run/allowed", 60)
    machine.succeed("test -e /run/allowed-sent")
    machine.fail("test -e /run/denied-sent")
    counted = machine.succeed("systemctl show -P IPEgressBytes strata-svc-allowed strata-svc-denied").split()
    assert int(counted[0]) > 0, counted

with subtest("a service reads and writes a disk no faster than its bandwidth"):
    for way, limit in (("writer", "wbps=1000000"), ("reader", "rbps=1000000")):
        said = machine.succeed(f"cat {TOP}/strata-svc-{way}.service/io.max")
        assert limit in said, said
        machine.wait_until_succeeds(f"grep -q copied /run/{way}", 60)
        # 6291456 bytes (6.3 MB, 6.0 MiB) copied, 5.9 s, 1.1 MB/s
        seconds = float(machine.succeed(f"grep copied /run/{way}").split(", ")[-2].split()[0])
        assert 4.5 < seconds < 20, (way, seconds)
    whole = float(machine.succeed("grep copied /run/unlimited").split(", ")[-2].split()[0])
    assert whole < 2, f"2 MiB take {whole} s without a limit: the disk itself is too slow to tell"

with subtest("a service over its memory_max is killed by the kernel, and Strata says so, until it is Quarantined"):
    describe = 'strata-ctl supervisor.svc.describe \'{"name":"hog"}\''
    about = machine.wait_until_succeeds(f"{describe} | grep -B 1000 -A 1000 Quarantined", 60)
    assert machine.succeed("systemctl show -P Result strata-svc-hog").strip() == "oom-kill"
    assert "the kernel killed it for lack of memory" in about, about
    said = machine.fail("strata-ctl status")
    assert "hog" in said and "lack of memory" in said, said
    said = machine.succeed("journalctl --output=cat STRATA_SERVICE=hog STRATA_EVENT=svc.crash")
    assert all(line.startswith("hog: the kernel killed it for lack of memory") for line in said.splitlines()), said
    machine.succeed("rm /etc/strata/services.d/*.toml; strata-ctl reload --apply; strata-ctl status")

with subtest("a session has the limits that it was opened with, in the kernel"):
    limits = "memory_max=32M tasks_max=40 cpu_quota=30% disk_max=8M inodes_max=512"
    machine.succeed(f"strata-ctl sandbox create lim/small {' '.join(f'--limit {one}' for one in limits.split())}")
    group = scope("lim", "small")
    said = machine.succeed(f"cd {TOP}/{group}; cat memory.max memory.swap.max pids.max cpu.max")
    assert said.split() == [str(32 * MIB), "0", "40", "30000", "100000"], said

with subtest("a command that takes all of a session's memory is ended and told so, and the session lives on"):
    machine.succeed("strata-ctl exec lim/small -- 'remembered=yes'")
    for verb in ("exec", "run"):
        code, said = ended(f"strata-ctl {verb} lim/small -- tail /dev/zero")
        assert code == 137 and "ended for lack of memory" in said, (code, said)
    found = described("lim", "small")
    assert found["state"] == "open" and found["usage"]["oom_kills"] >= 2, found
    assert machine.succeed("strata-ctl exec lim/small -- 'echo $remembered'") == "yes\n"

with subtest("a full disk of a session is its own"):
    before = int(machine.succeed("df --output=used -k /var/lib/strata | tail -1"))
    code, said = ended("strata-ctl exec lim/small -- 'head -c 20M /dev/zero > big'")
    assert code and "No space left on device" in said, (code, said)
    machine.succeed("strata-ctl exec lim/small -- 'rm big; mkdir many; echo again > again'")
    code, said = ended("strata-ctl exec lim/small -- 'cd many && for i in $(seq 600); do : > $i || exit; done'")
    assert code and "No space left on device" in said, (code, said)
    grown = int(machine.succeed("df --output=used -k /var/lib/strata | tail -1")) - before
    assert grown < 12 * 1024, f"{grown} KiB outside"

with subtest("a fork bomb stays within its session's tasks, and others are answered meanwhile"):
    bomb = "bomb() { bomb | bomb & }; bomb; sleep 60"
    machine.succeed("strata-ctl exec other/bystander -- true")
    machine.succeed(f"(strata-ctl exec --timeout 15s lim/small -- {shlex.quote(bomb)} > /run/bomb 2>&1 &) > /dev/null")
    # Some kernels count in the group of who forks, others in the one whose limit it is (cgroup-v2.rst, pids.events).
    machine.wait_until_succeeds(f"cat {TOP}/{group}/pids.events {TOP}/{group}/*/pids.events | grep '^max [1-9]'", 30)
    assert number(group, "pids.current") <= 40
    asked = time.monotonic()
    assert machine.succeed("strata-ctl exec other/bystander -- 'echo answered'") == "answered\n"
    assert time.monotonic() - asked < 10
    machine.wait_until_succeeds("grep 'its time was up' /run/bomb", 60)
    machine.wait_until_succeeds(f"[ $(cat {TOP}/{group}/pids.current) -lt 10 ]", 30)
    assert machine.succeed("strata-ctl exec lim/small -- 'echo alive'") == "alive\n"

with subtest("a session has its share of a processor, and Strata tells how long it was made to wait (PSI)"):
    machine.succeed("strata-ctl run --detach lim/small -- sh -c 'while :; do :; done'")
    used = share(group)
    assert 0.1 < used < 0.6, used
    assert number(group, "cpu.stat", "nr_throttled") > 5
    pressure = described("lim", "small")["usage"]["pressure"]
    assert pressure["cpu"] > 5 and set(pressure) == {"cpu", "memory", "io"}, pressure
    machine.succeed("strata-ctl sandbox rm lim/small")

with subtest("the sessions of an owner share what the owner has"):
    machine.succeed("strata-ctl sandbox create tenant/a; strata-ctl sandbox create tenant/b")
    group = "strata-sandbox.slice/strata-sandbox-tenant.slice"
    words = machine.succeed(f"cd {TOP}; cat {group}/memory.max {group}/pids.max {scope('tenant', 'a')}/memory.max")
    assert [int(word) for word in words.split()] == [128 * MIB, 100, 1024 * MIB], words
    filled = "(head -c 48M /dev/zero; sleep 10000) | tail -c 64M"
    want = "strata-ctl run tenant/b -- sh -c 'head -c 90M /dev/zero | tail -c 100M > /dev/null'"
    run = machine.succeed(f"strata-ctl run --detach tenant/a -- sh -c '{filled}'").strip()
    machine.wait_until_succeeds(f"[ $(cat {TOP}/{group}/memory.current) -gt {48 * MIB} ]", 30)
    code, said = ended(want)
    assert code == 137, (code, said)
    machine.succeed(f"strata-ctl exec tenant/a -- true; strata-ctl sandbox kill tenant/a {run}")
    machine.succeed(want)
    assert number(group, "memory.peak") <= 128 * MIB
