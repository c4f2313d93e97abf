# SPDX-License-Identifier: MIT
# The restarts that a manifest has which says nothing of them: 1 s, growing to 30 s in five steps.
import json
import shlex

start_all()
machine.wait_for_unit("strata-supervisor.service")
machine.wait_until_succeeds("strata-ctl status", timeout=120)
UNIT = "strata-svc-failing.service"
EXITED, SCHEDULED = "98e322203f7a4ed290d09fe03c09fe15", "5eb03494b6584870a536b337290809b3"  # sd-messages.h
MANIFEST = """
command = ["/bin/sh", "-c", "exit 3"]
[restart]
crashes = 8
window = "10min"
"""


def moments(message: str) -> list[float]:
    """When PID 1 said this of the unit, in seconds."""
    said = machine.succeed(f"journalctl --boot --output=json UNIT={UNIT} MESSAGE_ID={message}")
    return [int(json.loads(line)["__MONOTONIC_TIMESTAMP"]) / 1e6 for line in said.splitlines()]


with subtest("delays grow from 1 s to 30 s and stay there, and the end of them is Quarantined"):
    files = "/etc/strata/services.d"
    machine.succeed(f"mkdir -p {files}; printf %s {shlex.quote(MANIFEST)} > {files}/failing.toml")
    machine.succeed("strata-ctl reload --apply")
    machine.wait_until_succeeds(f"[ $(systemctl show -P ActiveState {UNIT}) = failed ]", 240)
    found = [start - end for end, start in zip(moments(EXITED), moments(SCHEDULED), strict=False)]
    assert len(found) == 8, found
    for number, seconds in enumerate(found):
        wanted = 30.0 ** (min(number, 5) / 5)  # RestartSteps=, systemd.service(5)
        assert 0.95 * wanted <= seconds <= 1.1 * wanted + 1, (number, found)
    machine.wait_until_succeeds('strata-ctl supervisor.svc.describe \'{"name":"failing"}\' | grep -q Quarantined', 30)
    machine.succeed("rm /etc/strata/services.d/failing.toml; strata-ctl reload --apply; strata-ctl status")
