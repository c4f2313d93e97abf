# SPDX-License-Identifier: MIT
# The machine's clock jumps, ahead and back: only tokens go by it (docs/security.md, "Revocation").
import json
import shlex
from typing import Any

machine.wait_for_unit("strata-supervisor.service")
machine.wait_until_succeeds("strata-ctl status", timeout=120)
# A network that sets the clock would undo the jumps; where there is none of these, all the better.
machine.execute("systemctl stop systemd-timesyncd.service chrony.service")
CORE = ("registry", "identity", "fs", "sandbox", "api")


def call(method: str, token: str = "", **params: Any) -> dict[str, Any]:
    """The reply of a method, refused or not."""
    given = f"-token {shlex.quote(token)} " if token else ""
    reply: dict[str, Any] = json.loads(
        machine.execute(f"strata-ctl {given}{method} {shlex.quote(json.dumps(params))}")[1]
    )
    return reply


def done(method: str, **params: Any) -> dict[str, Any]:
    """The result of a method that must not be refused."""
    reply = call(method, **params)
    assert reply["ok"], reply
    found: dict[str, Any] = reply["result"]
    return found


def issue() -> tuple[str, str]:
    """A token of one hour, and its cap_id."""
    wanted = {"service": "fs", "actions": ["list"], "path_prefix": "/srv", "ttl_seconds": 3600}
    reply = call("identity.issue", **wanted)
    return reply["result"]["token"], reply["result"]["cap_id"]


def refusal(token: str) -> str:
    """Why it is refused; nothing where it is not."""
    reply = call("fs.list", token, path=".")
    return "" if reply["ok"] else reply["error"]["message"]


def jump(hours: int) -> None:
    machine.succeed(f"date --set=@$(( $(date +%s) + {hours} * 3600 ))")


def runs() -> dict[str, str]:
    """Which run of each core service this is: another one would have been restarted."""
    return {name: machine.get_unit_property(f"strata-{name}.service", "InvocationID") for name in CORE}


def sessions() -> set[str]:
    return {one["session"] for one in call("sandbox.list")["result"]["sessions"]}


with subtest("before: tokens, a lease, sessions, a service"):
    machine.succeed("mkdir -p /srv")
    (good, _), (bad, cap_id) = issue(), issue()
    assert refusal(good) == ""
    done("identity.revoke", cap_id=cap_id)
    done("registry.register", service="leased", endpoint="unix:///run/x.sock", lease_seconds=3000)
    done("sandbox.create", owner="ann", session="idle", ttl="50m", lifetime="55m")
    machine.succeed(
        """echo 'command = ["/bin/sh", "-c", "exec sleep infinity"]' > /etc/strata/services.d/kept.toml""",
        "strata-ctl reload --apply",
    )
    machine.wait_until_succeeds("systemctl is-active strata-svc-kept.service", timeout=60)
    before = runs()

with subtest("two hours ahead: tokens are over, leases and lifetimes of an hour are not"):
    jump(+2)
    assert "expired" in refusal(good), refusal(good)
    found = call("registry.resolve", service="leased")["result"]
    assert 0 < found["lease_seconds"] <= 3000, found
    assert "idle" in sessions()
    assert "here" in machine.succeed("strata-ctl exec ann/idle -- echo here")
    later, _ = issue()
    assert refusal(later) == ""

with subtest("and back: what was valid is valid, what was revoked is not"):
    jump(-2)
    assert refusal(good) == ""
    assert "revoked" in refusal(bad), refusal(bad)
    assert "future" in refusal(later), refusal(later)
    assert refusal(issue()[0]) == ""

with subtest("three hours back: idle times end all the same, and a crash is mended after its second"):
    done("sandbox.create", owner="ann", session="brief", ttl="5s")
    done("sandbox.create", owner="ann", session="short", lifetime="1min")
    jump(-3)
    assert refusal(bad) != ""
    machine.succeed("systemctl kill --kill-whom=main --signal=KILL strata-svc-kept.service")
    machine.wait_until_succeeds("systemctl is-active strata-svc-kept.service", timeout=60)
    retry(lambda last: not sessions() & {"brief", "short"}, timeout=300)
    assert "idle" in sessions()
    done("registry.register", service="soon", endpoint="unix:///run/y.sock", lease_seconds=2)
    retry(lambda last: not call("registry.resolve", service="soon")["ok"], timeout=60)

with subtest("nothing of Strata was taken for hung or restarted, and all is well"):
    machine.wait_until_succeeds("strata-ctl status", timeout=60)
    assert runs() == before
    jump(+3)
    assert refusal(good) == ""
    machine.wait_until_succeeds("strata-ctl status", timeout=60)
    assert runs() == before
