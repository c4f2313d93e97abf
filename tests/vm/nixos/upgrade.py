# SPDX-License-Identifier: MIT
# ../upgrade.nix says what this is about.
start_all()
machine.wait_for_unit("strata-supervisor.service")
machine.wait_until_succeeds("strata-ctl status", timeout=120)
base = machine.succeed("readlink -f /run/current-system").strip()


def process(unit: str) -> str:
    return machine.get_unit_property(unit, "MainPID")


def switch(to: str) -> None:
    machine.succeed(f"{to}/bin/switch-to-configuration test")
    machine.wait_until_succeeds("strata-ctl status", timeout=120)


machine.succeed("strata-ctl sandbox create kept/session")
machine.succeed("strata-ctl exec kept/session -- 'remembered=yes; sleep 10000 & echo $! > /tmp/child'")
child = machine.succeed("strata-ctl exec kept/session -- 'cat /tmp/child'")
before = {name: process(f"strata-svc-{name}.service") for name in ("kept", "changed")}


def session_lives() -> None:
    said = machine.succeed(
        "strata-ctl exec kept/session -- 'echo $remembered; cat /tmp/child; kill -0 $(cat /tmp/child)'"
    )
    assert said == f"yes\n{child}", said


with subtest("other settings restart the supervisor, and neither a service of one's own nor a session"):
    supervisor = process("strata-supervisor.service")
    switch(f"{base}/specialisation/settings")
    assert process("strata-supervisor.service") != supervisor
    assert {name: process(f"strata-svc-{name}.service") for name in before} == before
    session_lives()
    switch(base)

with subtest("another manifest is applied by a reload: only its own service restarts"):
    supervisor = process("strata-supervisor.service")
    switch(f"{base}/specialisation/manifest")
    machine.wait_until_fails(f"test -d /proc/{before['changed']}", timeout=60)
    machine.wait_until_succeeds("strata-ctl status", timeout=120)
    assert process("strata-supervisor.service") == supervisor
    assert process("strata-svc-kept.service") == before["kept"]
    session_lives()
    switch(base)

with subtest("another package restarts Strata's own services, and neither a service of one's own nor a session"):
    before = {name: process(f"strata-svc-{name}.service") for name in before}
    supervisor = process("strata-supervisor.service")
    switch(f"{base}/specialisation/package")
    assert process("strata-supervisor.service") != supervisor
    assert {name: process(f"strata-svc-{name}.service") for name in before} == before
    session_lives()
