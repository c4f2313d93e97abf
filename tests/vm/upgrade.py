# SPDX-License-Identifier: MIT
# A later version of the package over this one, below sessions, services and clients: nothing is dropped. (On NixOS,
# where there is no package, nixos/upgrade.py says the same of a switch.)
import json

machine.wait_for_unit("strata-supervisor.service")


def process(unit: str) -> str:
    return machine.get_unit_property(unit, "MainPID")


def lives() -> None:
    said = machine.succeed(
        "strata-ctl exec kept/session -- 'echo $remembered; pwd; kill -0 $(cat /root/child) && echo alive'"
    )
    assert said == "yes\n/tmp\nalive\n", said


with subtest(
    "before: a session with a shell that remembers, a run with output, a service, a token, a client that asks and asks"
):
    machine.succeed("""echo 'command = ["sleep", "infinity"]\nprofile = "plain"' > /etc/strata/services.d/kept.toml""")
    machine.succeed("strata-ctl reload --apply")
    machine.succeed("strata-ctl exec kept/session -- 'remembered=yes; cd /tmp; sleep 100000 & echo $! > /root/child'")
    machine.succeed(
        "strata-ctl run --detach kept/session -- sh -c 'while :; do echo tick >> /root/ticks; sleep 1; done'"
    )
    machine.wait_until_succeeds("systemctl is-active strata-svc-kept.service", timeout=60)
    token = machine.succeed(
        "strata-ctl token issue --service fs --action open,read,list --path-prefix /tmp --quiet"
    ).strip()
    before = {
        unit: process(unit) for unit in ("strata-supervisor", "strata-registry", "strata-sandbox", "strata-svc-kept")
    }
    issue = "strata-ctl token issue --service sandbox --owner kept --action list --quiet"
    machine.succeed(f"(echo -n 'Authorization: Bearer '; {issue}) > /root/header")
    url = "http://127.0.0.1:2280/api/v1/sessions/kept/session"
    ask = (
        f"curl --silent --output /dev/null --max-time 240 --write-out '%{{http_code}}\\n' --header @/root/header {url}"
    )
    machine.succeed(f"(while ! test -e /tmp/enough; do {ask}; sleep 0.5; done > /tmp/answers 2>&1) > /dev/null 2>&1 &")
    machine.wait_until_succeeds("grep --quiet 200 /tmp/answers", timeout=30)

with subtest("the later version is installed while all that goes on"):
    machine.succeed("DEBIAN_FRONTEND=noninteractive apt-get install --yes /payload/strata-newer.deb", timeout=600)
    assert "99.0" in machine.succeed("strata-ctl --version")
    machine.wait_until_succeeds(
        "test $(systemctl show -P MainPID strata-api) != 0 && systemctl show -P StatusText strata-api | grep 99.0",
        timeout=300,
    )
    machine.wait_until_succeeds("strata-ctl status", timeout=120)

with subtest("Strata's own services run the later version, one's own service was not touched"):
    after = {unit: process(unit) for unit in before}
    assert after.pop("strata-svc-kept") == before.pop("strata-svc-kept")
    assert not set(after.values()) & set(before.values()), (before, after)

with subtest("the session's shell, its background job and its run go on"):
    lives()
    ticks = int(machine.succeed("strata-ctl exec kept/session -- 'wc -l < /root/ticks'"))
    machine.wait_until_succeeds(
        f"test $(strata-ctl exec kept/session -- 'wc -l < /root/ticks') -gt {ticks}", timeout=30
    )

with subtest("tokens from before are good"):
    machine.succeed(f"strata-ctl -token '{token}' fs.list '{{\"path\":\".\"}}'")

with subtest("no client was refused"):
    machine.succeed("touch /tmp/enough; sleep 1")
    answers = machine.succeed("sort /tmp/answers | uniq -c").split("\n")
    assert [line.split()[1] for line in answers if line] == ["200"], answers

with subtest("all is as a fresh start would be"):
    assert json.loads(machine.succeed("strata-ctl status --json"))["ok"]
    machine.succeed("strata-ctl sandbox rm kept/session")
    assert machine.succeed("systemctl is-system-running || true").strip() == "running"
