# SPDX-License-Identifier: MIT
# Strata's own services under PID 1: started by their sockets, killed under load, and closed to who may not.
import json
import shlex
from typing import Any

start_all()
machine.wait_for_unit("strata-supervisor.service")
machine.wait_until_succeeds("strata-ctl status", timeout=120)
DOOR = "http://127.0.0.1:2280/api/v1"
# As docs/security.md has it for systemd 252; a newer one asks for more.
EXPOSURE = {"registry": 1.5, "identity": 1.5, "fs": 2.5, "supervisor": 3.0, "api": 1.5, "sandbox": 9.8}


def call(method: str, token: str = "", **params: Any) -> dict[str, Any]:
    """The reply of a method, refused or not. The token comes from a file: arguments can be read by others."""
    given = f"-token @{token} " if token else ""
    reply: dict[str, Any] = json.loads(
        machine.execute(f"strata-ctl {given}{method} {shlex.quote(json.dumps(params))}")[1]
    )
    return reply


def refusal(reply: dict[str, Any]) -> tuple[str, str]:
    """Name and message of an error."""
    error = reply.get("error")
    assert isinstance(error, dict), reply
    return error["name"], error["message"]


def curl(path: str, *more: str) -> tuple[str, str]:
    """Status and body of a request to the door."""
    said = machine.succeed(f"curl -sS -w '\\n%{{http_code}}' {' '.join(more)} {DOOR}{path}")
    body, _, status = said.rpartition("\n")
    return status, body


def as_user(name: str, command: str) -> str:
    """A command with the user's own ids and groups, and nothing else of a login."""
    inside = f"export STRATA_RUNTIME_DIR=/run/strata; exec 2>&1; {command}"
    return f"setpriv --reuid={name} --regid={name} --init-groups sh -c {shlex.quote(inside)}"


with subtest("a service that was stopped is started by the next client of its socket"):
    machine.succeed("systemctl stop strata-registry.service")
    machine.require_unit_state("strata-registry.service", "inactive")
    machine.require_unit_state("strata-registry.socket", "active")
    assert call("registry.list")["ok"]
    machine.require_unit_state("strata-registry.service", "active")
    # What is where, the supervisor tells a registry that is new.
    resolve = 'strata-ctl registry.resolve \'{"service":"fs"}\''
    found = json.loads(machine.wait_until_succeeds(resolve, timeout=60))
    assert found["result"]["endpoint"] == "unix:///run/strata/fs.sock", found
    machine.wait_until_succeeds("strata-ctl status", timeout=60)

with subtest("identity is killed with clients on their way: they wait, and not one is refused"):
    issue = "strata-ctl token issue --service fs --action read --quiet"
    before = machine.get_unit_property("strata-identity.service", "MainPID")
    said = machine.succeed(
        "systemctl kill --kill-whom=main --signal=SIGKILL strata-identity.service;"
        f" for i in 1 2 3 4 5; do ({issue} > /run/issued.$i 2>&1; echo $? > /run/ended.$i) & done; wait;"
        " cat /run/ended.* | xargs; cat /run/issued.* | sort -u | grep -c '^v[24]\\.public\\.'"
    )
    assert said.split() == ["0", "0", "0", "0", "0", "5"], said + machine.succeed("cat /run/issued.*")
    assert machine.get_unit_property("strata-identity.service", "MainPID") != before

with subtest("identity is restarted with clients at work: not one is refused"):
    loop = f"until [ -e /run/enough ]; do {issue} > /dev/null 2>> /run/said || echo refused; echo asked; done"
    asked = "until [ $(cat /run/loop.* | wc -l) -ge {} ]; do sleep 0.2; done"
    said = machine.succeed(
        f"({loop}) > /run/loop.1 & ({loop}) > /run/loop.2 & {asked.format(2)}; strata-ctl restart identity;"
        f" {asked.format(6)}; touch /run/enough; wait; cat /run/loop.*"
    )
    assert "refused" not in said, said + machine.succeed("cat /run/said")

with subtest("a token opens what is beneath its prefix, and nothing else"):
    machine.succeed(
        "mkdir -p /srv/shared; echo 'hello strata' > /srv/shared/hello; umask 077;"
        " strata-ctl token issue --service fs --action open,read --path-prefix /srv/shared -q > /run/token"
    )
    opened = call("fs.open", "/run/token", path="/srv/shared/hello")
    handle = opened["result"]["handle"]
    found = call("fs.read", "/run/token", handle=handle, size=100)
    assert found["ok"], found
    name, message = refusal(call("fs.open", "/run/token", path="/etc/shadow"))
    assert name == "PERMISSION_DENIED" and "outside allowed prefix" in message, message
    assert refusal(call("fs.open", path="/srv/shared/hello"))[0] == "UNAUTHENTICATED"

with subtest("a token that is revoked is refused everywhere as soon as the revocation returns"):
    machine.succeed("strata-ctl token attenuate @/run/token --action read -q > /run/child")
    machine.succeed("strata-ctl token revoke @/run/token")
    for token, method, params in (
        ("/run/token", "fs.open", {"path": "/srv/shared/hello"}),
        ("/run/token", "fs.read", {"handle": handle, "size": 100}),
        ("/run/child", "fs.read", {"handle": handle, "size": 100}),
    ):
        assert refusal(call(method, token, **params)) == ("PERMISSION_DENIED", "capability revoked"), (token, method)

    assert "revoked" in machine.fail("strata-ctl token attenuate @/run/token --action read 2>&1")

with subtest("the door answers who shows a token, and nobody else"):
    machine.succeed(
        "strata-ctl token issue --service sandbox --owner alice --action create,exec,close -q > /run/token;"
        ' echo "Authorization: Bearer $(cat /run/token)" > /run/header'
    )
    path = "/sessions/alice/door/exec"
    command = shlex.quote('{"command":"echo over HTTP"}')
    status, body = curl(path, "-H @/run/header", "-d", command)
    assert status == "200" and json.loads(body)["output"] == "over HTTP", (status, body)
    for wrong in ("", "-H 'Authorization: Bearer v2.public.AAAA'"):
        status, body = curl(path, wrong, "-d", command)
        assert status == "401", (wrong, status, body)
    assert curl("/sessions/bob/door/exec", "-H @/run/header", "-d", command)[0] == "403"
    machine.succeed("strata-ctl token revoke @/run/token")
    status, body = curl(path, "-H @/run/header", "-d", command)
    assert status == "403" and "revoked" in body, (status, body)
    assert "127.0.0.1:2280" in machine.succeed("systemctl show -P Listen strata-api.socket")

with subtest("no unit is more exposed than is written down"):
    said = machine.succeed("systemd-analyze security --no-pager | grep ^strata-")
    found = {line.split()[0]: float(line.split()[1]) for line in said.splitlines()}
    measured = {name: found[f"strata-{name}.service"] for name in EXPOSURE}
    assert all(measured[name] <= most for name, most in EXPOSURE.items()), measured

with subtest("members of the group strata are operators, and others are not"):
    machine.succeed(
        "id alice || useradd --create-home --user-group alice; usermod --append --groups strata alice",
        "id bob || useradd --create-home --user-group bob",
    )
    for name in ("alice", "bob"):
        machine.succeed(as_user(name, "strata-ctl status"))
    machine.succeed(as_user("alice", "strata-ctl reload --apply"))
    said = machine.fail(as_user("bob", "strata-ctl reload --apply"))
    assert "token required" in said, said
    said = machine.fail(as_user("bob", "strata-ctl exec root/anything -- id"))
    assert "token" in said, said
    machine.fail(as_user("bob", "strata-ctl token issue --service fs --action read"))
