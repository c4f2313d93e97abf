# SPDX-License-Identifier: MIT
# A reboot and a power cut: what was acknowledged before is true afterwards.
import json
import time

machine.wait_for_unit("strata-supervisor.service")
MANIFEST = 'command = ["sh", "-c", "exec sleep infinity"]\nprofile = "plain"\n'


def healthy(name: str) -> None:
    """All that is used here; the door starts last and takes longest (long/reboot.py waits for all)."""
    for unit in ("strata-identity", "strata-fs", "strata-sandbox", f"strata-svc-{name}"):
        machine.wait_until_succeeds(f"systemctl is-active {unit}.service", timeout=300)


def issue(*options: str) -> str:
    return machine.succeed(
        f"strata-ctl token issue --service fs --action open,read,list --path-prefix /tmp {' '.join(options)} --quiet"
    ).strip()


def accepted(token: str) -> None:
    machine.succeed(f"strata-ctl -token '{token}' fs.list '{{\"path\":\".\"}}'")


def refused(token: str) -> None:
    said = machine.fail(f"strata-ctl -token '{token}' fs.list '{{\"path\":\".\"}}' 2>&1")
    assert "revoked" in said, said


def boot(how: str) -> None:
    started = time.monotonic()
    machine.start()
    machine.wait_for_unit("strata-supervisor.service")
    healthy("kept")
    machine.log(f"after {how}: from power on to all that is used here in {time.monotonic() - started:.0f} s")


with subtest("before: a service, a token, a token that is revoked, a snapshot, a service that is stopped"):
    for name in ("kept", "stopped"):
        machine.succeed(f"echo '{MANIFEST}' > /etc/strata/services.d/{name}.toml")
    machine.succeed("strata-ctl reload --apply")
    healthy("kept")
    machine.succeed("strata-ctl stop stopped")
    good, bad = issue(), issue()
    accepted(good)
    machine.succeed(f"strata-ctl token revoke '{bad}'")
    refused(bad)
    machine.succeed(
        "strata-ctl exec alice/work -- 'echo kept > /root/file'", "strata-ctl sandbox snapshot alice/work saved"
    )
    key = machine.succeed("cat /run/strata/identity.pub")

with subtest("a power cut right after a revocation was acknowledged: it holds after the boot"):
    late = issue()
    machine.succeed(f"strata-ctl token revoke '{late}'")
    machine.crash()
    boot("a power cut")
    refused(late)

with subtest("keys, tokens, revocations and declared services are there after the power cut"):
    assert machine.succeed("cat /run/strata/identity.pub") == key
    accepted(good)
    refused(bad)

with subtest("what the operator stopped by hand runs again after a boot, as systemd's own services do"):
    machine.succeed("systemctl is-active strata-svc-stopped.service")

with subtest("sessions do not outlive a boot, snapshots do"):
    assert json.loads(machine.succeed("strata-ctl sandbox ls --json")) in ([], {"sessions": []})
    machine.succeed("strata-ctl sandbox create --from-snapshot saved alice/again")
    assert machine.succeed("strata-ctl exec alice/again -- cat /root/file") == "kept\n"
    machine.fail("losetup --list --noheadings | grep -v alice | grep alice/work")

with subtest("a reboot in good order stops everything in time, and it all comes back"):
    machine.succeed("touch /root/rebooted")
    started = time.monotonic()
    machine.shutdown()
    machine.log(f"powered off in {time.monotonic() - started:.0f} s")
    boot("a reboot")
    accepted(good)
    refused(bad)
    refused(late)

with subtest("the journal of the boot before says that Strata stopped in good order"):
    said = machine.succeed("journalctl --boot=-1 --unit=strata-supervisor --output=cat --no-pager")
    assert "Deactivated successfully" in said or "Stopped" in said, said
    machine.fail(
        "journalctl --boot=-1 --no-pager --output=cat | grep -E 'strata.*(Timed out|SIGKILL|Failed with result)'"
    )
