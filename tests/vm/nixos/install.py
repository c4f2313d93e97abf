# SPDX-License-Identifier: MIT
# ../install.nix says what this is about.
start_all()
machine.wait_for_unit("strata-supervisor.service")
machine.wait_until_succeeds("strata-ctl status", timeout=120)
base = machine.succeed("readlink -f /run/current-system").strip()
key = machine.succeed("cat /run/strata/identity.pub")

with subtest("what an installation consists of is there"):
    machine.succeed("strata-ctl doctor")
    machine.succeed("getent group strata")
    machine.succeed("stat -c '%a %U' /run/strata /var/lib/strata /etc/strata | sort -u | grep -x '755 root'")

with subtest("a switch to a system without it leaves nothing that runs and no directory of sockets"):
    machine.succeed(f"{base}/specialisation/without/bin/switch-to-configuration test")
    machine.wait_until_fails("test -e /run/strata", timeout=60)
    machine.fail("command -v strata-ctl")
    machine.fail("test -e /etc/strata/strata.toml")
    left = machine.succeed("systemctl list-units --all --no-legend 'strata*' || true").strip()
    assert not left, left

with subtest("it comes back with the keys that it had"):
    machine.succeed(f"{base}/bin/switch-to-configuration test")
    machine.wait_until_succeeds("strata-ctl status", timeout=120)
    assert machine.succeed("cat /run/strata/identity.pub") == key
