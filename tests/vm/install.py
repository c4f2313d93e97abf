# SPDX-License-Identifier: MIT
# The package as apt has installed it: what a user finds, and what removing it and purging it leave. (On NixOS, where
# there is no package, nixos/install.py says the same of a switch.)
import json

machine.wait_for_unit("strata-supervisor.service")

with subtest("all is Healthy right after the installation, and will be after a boot"):
    assert json.loads(machine.succeed("strata-ctl status --json"))["ok"]
    machine.succeed("systemctl is-enabled strata-supervisor.service")

with subtest("doctor finds nothing to mend"):
    machine.succeed("strata-ctl doctor")

with subtest("every file is as the package brought it, its pages and completions where they are looked for"):
    machine.succeed("dpkg --verify strata", "systemd-analyze verify strata-supervisor.service")
    machine.succeed("getent group strata", "test -d /etc/strata/services.d")
    for page in ("1 strata-ctl", "7 strata", "5 strata.toml"):
        machine.succeed(f"test -e $(man --where {page})")
    machine.succeed("test -s /usr/share/bash-completion/completions/strata-ctl")

with subtest("removed, everything of it has stopped, and keys and settings stay"):
    machine.succeed("strata-ctl exec alice/work -- 'echo work > /root/file; sleep 1000 & true'")
    machine.succeed("echo 'log_level = \"info\"' > /etc/strata/strata.toml")
    machine.succeed("DEBIAN_FRONTEND=noninteractive apt-get remove --yes strata", timeout=300)
    machine.fail("systemctl list-units --all --no-legend 'strata*' | grep -v not-found | grep .")
    machine.fail("pgrep -f '[s]leep 1000'", "pgrep -f '[s]trata\\.'", "ls -d /sys/fs/cgroup/strata.slice")
    machine.fail("test -e /run/strata", "losetup --list --noheadings | grep strata", "grep strata /proc/self/mountinfo")
    machine.succeed("test -d /var/lib/private/strata/identity", "test -e /etc/strata/strata.toml")
    assert machine.succeed("systemctl is-system-running || true").strip() == "running"

with subtest("installed again, it has the same keys"):
    keys = machine.succeed("find /var/lib/private/strata/identity -type f | sort | xargs sha256sum")
    machine.succeed("DEBIAN_FRONTEND=noninteractive apt-get install --yes /payload/strata.deb", timeout=300)
    machine.wait_for_file("/run/strata/identity.pub", timeout=120)
    assert machine.succeed("find /var/lib/private/strata/identity -type f | sort | xargs sha256sum") == keys

with subtest("purged, nothing is left that was not there before"):
    machine.succeed("DEBIAN_FRONTEND=noninteractive apt-get purge --yes strata", timeout=300)
    # As place.py made the list before the installation.
    skipped = "-path /proc -prune -o -path /tmp -prune -o -path /var/log/journal -prune"
    machine.succeed(f"find / -xdev {skipped} -o -print | sort > /tmp/after")
    others = "^/(var/(log|cache|tmp|lib/(apt|dpkg|systemd/(timers|random-seed)))|etc/[a-z]+-$|run/)"
    for what, columns in (("left", "-13"), ("gone", "-23")):
        found = machine.succeed(f"comm {columns} /tmp/before-install /tmp/after | grep -v -E '{others}' || true")
        assert found == "", f"{what}: {found}"
    machine.fail("getent group strata", "grep strata /proc/self/mountinfo", "ls -d /run/strata*")
