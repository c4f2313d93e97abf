# SPDX-License-Identifier: MIT
# A Strata of a user's own, below her `systemd --user`, beside that of the system.
import shlex

machine.wait_for_unit("strata-supervisor.service")
machine.wait_for_unit("user@1000.service")


def alice(command: str) -> str:
    runtime = "export XDG_RUNTIME_DIR=/run/user/1000; "
    return f"su -l alice --shell /bin/sh -c {shlex.quote(runtime + command)}"


with subtest("she installs it for herself, with a door of its own left out"):
    machine.succeed(
        alice("mkdir -p ~/.config/strata && printf '[core]\\napi = false\\n' > ~/.config/strata/strata.toml")
    )
    machine.succeed(alice("find ~ -not -path '*/.config/strata*' | sort > /tmp/home-before"))
    machine.succeed(alice("strata-ctl install --user"), timeout=300)
    machine.wait_for_unit("strata-supervisor.service", "alice")
    assert "user mode" in machine.succeed(alice("strata-ctl status"))

with subtest("it is hers: her units, her sockets, beside those of the system"):
    assert machine.get_unit_property("strata-sandbox.service", "ActiveState", "alice") == "active"
    assert machine.succeed("stat -c %U /run/user/1000/strata/sandbox.sock").strip() == "alice"
    machine.succeed("strata-ctl status")

with subtest("doctor says what works without root"):
    code, said = machine.execute(alice("strata-ctl doctor 2>&1"))
    machine.log(said)
    assert "fail" not in said, said

with subtest("a session of hers: root inside, alice outside, files of its own, gone afterwards"):
    assert machine.succeed(
        alice("strata-ctl exec work -- 'id -u; cat /etc/shadow 2>&1 || echo none; echo mine > /root/file'")
    ).startswith("0\n")
    machine.succeed(alice("strata-ctl exec work -- 'sleep 4321 & true'"))
    assert machine.succeed("stat -c %U /proc/$(pgrep -n -x -f 'sleep 4321')").strip() == "alice"
    assert machine.succeed(alice("strata-ctl run work -- cat /root/file")) == "mine\n"
    assert (
        machine.succeed(
            alice("echo there | strata-ctl cp - work:/root/there && strata-ctl exec work -- cat /root/there")
        )
        == "there\n"
    )

with subtest("limits hold as far as her manager has controllers: memory and tasks"):
    machine.succeed(alice("strata-ctl sandbox create --limit memory_max=64M --limit tasks_max=32 small"))
    said = machine.fail(alice("strata-ctl exec small -- tail /dev/zero 2>&1"))
    assert "ended for lack of memory" in said, said
    crowd = "for i in $(seq 64); do sleep 60 >/dev/null 2>&1 & done"
    said = machine.fail(alice(f"strata-ctl run small -- sh -c {shlex.quote(crowd)} 2>&1"))
    assert "fork" in said, said

with subtest("she cannot reach what is the system's, nor another's sessions"):
    machine.fail(alice("STRATA_RUNTIME_DIR=/run/strata strata-ctl exec root/secret -- true"))

with subtest("uninstalled, nothing of it is left in her home"):
    machine.succeed(alice("strata-ctl uninstall --user --purge"), timeout=180)
    machine.fail("systemctl --machine=alice@ --user list-units --all --no-legend 'strata*' | grep .")
    machine.succeed(alice("find ~ -not -path '*/.config/strata*' | sort > /tmp/home-after"))
    left = machine.succeed("comm -13 /tmp/home-before /tmp/home-after")
    assert left == "", left
    machine.fail("pgrep -u alice -f '[s]trata'")
