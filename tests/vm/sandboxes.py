# SPDX-License-Identifier: MIT
# Sessions under a systemd that is PID 1: every driver of layers, what is kept from them, freeze, and their own end.
import json
import shlex

machine.wait_for_unit("strata-supervisor.service")


def inside(session: str, command: str) -> str:
    return machine.succeed(f"strata-ctl exec alice/{session} -- {shlex.quote(command)}")


def scope(session: str) -> str:
    return f"strata-sandbox-alice-{session}.scope"


def group(session: str) -> str:
    return f"/sys/fs/cgroup/strata.slice/strata-sandbox.slice/strata-sandbox-alice.slice/{scope(session)}"


def described(session: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(machine.succeed(f"strata-ctl sandbox describe --json alice/{session}"))
    return found


DRIVERS = ("kernel", "fuse", "none")

for driver in DRIVERS:
    with subtest(f"a session whose files lie over the base by the driver {driver}"):
        machine.succeed(f"strata-ctl sandbox create --driver {driver} alice/{driver}")
        assert described(driver)["driver"] == driver
        assert inside(driver, "id -u; echo written > /root/own; cat /root/own") == "0\nwritten\n"
        machine.require_unit_state(scope(driver))

with subtest("nothing that a session writes is on the machine, whatever the driver"):
    machine.fail("test -e /root/own")
    if "read-only" not in inside("kernel", "touch /usr/bin/strange 2>&1 && echo took || echo read-only"):
        machine.fail("test -e /usr/bin/strange")

with subtest("the machine's secrets, processes and network are not there"):
    inside("kernel", "! test -e /etc/shadow && ! test -e /var/lib/strata && ! ls /run/strata 2>/dev/null")
    assert int(inside("kernel", "ls -d /proc/[0-9]* | wc -l")) < 10
    assert inside(
        "kernel", "ls /sys/class/net 2>/dev/null || sed -n 's/^ *\\(.*\\):.*/\\1/p' /proc/net/dev"
    ).split() == ["lo"]

with subtest("what is root inside is nobody outside, and another nobody in each session"):
    uids = [
        machine.succeed(f"grep ^Uid: /proc/$(tail -1 {group(driver)}/payload/cgroup.procs)/status")
        for driver in DRIVERS
    ]
    assert len(set(uids)) == len(DRIVERS), uids
    assert all(int(uid.split()[1]) > 65_536 for uid in uids), uids

with subtest("frozen, it stands still, and goes on afterwards"):
    inside("kernel", "(while :; do echo x >> /root/count; sleep 0.2; done) >/dev/null 2>&1 & true")
    machine.wait_until_succeeds("strata-ctl run alice/kernel -- test -s /root/count", timeout=60)
    machine.succeed("strata-ctl sandbox freeze alice/kernel")
    still = machine.succeed(f"cat {group('kernel')}/payload/cgroup.events {group('kernel')}/shell-*/cgroup.events")
    assert still.count("frozen 1") == still.count("populated 1"), still
    assert described("kernel")["state"] == "frozen"
    machine.succeed("strata-ctl sandbox thaw alice/kernel")
    before = inside("kernel", "wc -l < /root/count")
    machine.wait_until_succeeds(
        f"strata-ctl run alice/kernel -- sh -c '[ $(wc -l < /root/count) -gt {before.strip()} ]'", timeout=60
    )

with subtest("a snapshot keeps files, and a fork starts with them"):
    inside("kernel", "echo kept > /root/kept")
    machine.succeed(
        "strata-ctl sandbox snapshot alice/kernel first", "strata-ctl sandbox create --from-snapshot first alice/again"
    )
    assert inside("again", "cat /root/kept") == "kept\n"

with subtest("the pressure that a session is under is told"):
    pressure = machine.succeed(f"cat {group('kernel')}/cpu.pressure")
    assert pressure.startswith("some avg10="), pressure

with subtest("who tells how a command ended is the last that the kernel ends when the session's memory is used up"):
    machine.succeed("strata-ctl run --detach alice/kernel -- sleep 1234")
    scores = f"for p in $(cat {group('kernel')}/%s/cgroup.procs); do cat /proc/$p/oom_score_adj; done | sort -u"
    machine.wait_until_succeeds(f'[ "$({scores % "keepers"})" = -999 ]', timeout=60)
    machine.succeed(f'[ "$({scores % "run-*"})" = 0 ]', "pkill -f '[s]leep 1234'")

with subtest("the sandbox service is killed: sessions live on, with their shells"):
    inside("kernel", "MEMORY=here")
    machine.succeed("systemctl kill --signal=SIGKILL strata-sandbox.service")
    machine.wait_until_succeeds("strata-ctl exec alice/kernel -- true", timeout=120)
    assert inside("kernel", "echo $MEMORY").strip() == "here"

with subtest("closed, nothing of it is left"):
    for driver in (*DRIVERS, "again"):
        machine.succeed(f"strata-ctl sandbox rm alice/{driver}")
        machine.wait_until_fails(f"systemctl is-active --quiet {scope(driver)}", timeout=30)
    machine.wait_until_fails("losetup --list --noheadings | grep strata", timeout=30)
    machine.fail(
        "grep strata-sandbox /proc/self/mountinfo", "ls -d /sys/fs/cgroup/strata.slice/strata-sandbox.slice/*/*.scope"
    )

with subtest("a session ends when its lifetime is over, with all of Strata dead"):
    machine.succeed(
        "strata-ctl sandbox create --lifetime 30s alice/brief", "strata-ctl exec alice/brief -- 'sleep 1000 & true'"
    )
    for unit in ("supervisor", "sandbox"):
        machine.succeed(
            f"mkdir -p /run/systemd/system/strata-{unit}.service.d",
            f"printf '[Service]\\nRestart=no\\n' > /run/systemd/system/strata-{unit}.service.d/test.conf",
        )
    machine.succeed(
        "systemctl daemon-reload", "systemctl kill --signal=SIGKILL strata-supervisor strata-sandbox strata-api"
    )
    machine.wait_until_fails("systemctl is-active --quiet strata-sandbox.service", timeout=30)
    machine.wait_until_fails(f"systemctl is-active --quiet {scope('brief')}", timeout=60)
    machine.fail("pgrep -f '[s]leep 1000'")

with subtest("a Strata that comes back clears what the session left"):
    machine.succeed(
        "rm -r /run/systemd/system/strata-*.service.d", "systemctl daemon-reload", "systemctl start strata-supervisor"
    )
    machine.wait_until_succeeds("strata-ctl sandbox ls --json", timeout=180)
    assert "brief" not in machine.succeed("strata-ctl sandbox ls --json")
    machine.wait_until_fails("losetup --list --noheadings | grep strata", timeout=60)
