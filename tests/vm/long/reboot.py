# SPDX-License-Identifier: MIT
# A machine that is powered off in good order, with services and sessions on it, and is started again.
import time

machine.wait_for_unit("strata-supervisor.service")

with subtest("before: a service and a session with work in it"):
    machine.succeed("""echo 'command = ["sleep", "infinity"]' > /etc/strata/services.d/kept.toml""")
    machine.succeed("strata-ctl reload --apply", "strata-ctl exec alice/work -- 'sleep 100000 & true'")
    machine.wait_until_succeeds("systemctl is-active strata-svc-kept.service", timeout=60)
    key = machine.succeed("cat /run/strata/identity.pub")

with subtest("it powers off without waiting for anything of Strata"):
    started = time.monotonic()
    machine.shutdown()
    machine.log(f"powered off in {time.monotonic() - started:.0f} s")

with subtest("all comes back by itself"):
    started = time.monotonic()
    machine.start()
    machine.wait_for_unit("strata-supervisor.service")
    machine.wait_until_succeeds("strata-ctl status", timeout=300)
    machine.log(f"from power on to Healthy in {time.monotonic() - started:.0f} s")
    machine.succeed("systemctl is-active strata-svc-kept.service")
    assert machine.succeed("cat /run/strata/identity.pub") == key

with subtest("nothing of Strata was killed for being late"):
    machine.fail(
        "journalctl --boot=-1 --no-pager --output=cat | grep -E 'strata.*(timed out|SIGKILL|Failed with result)'"
    )
