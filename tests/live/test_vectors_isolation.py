# SPDX-License-Identifier: MIT
"""Vectors 153 to 163: what a session sees, may do and may use. `served` is a server of settings of its own."""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import served as serving
import visitor
from node import Node, until
from served import Served
from visitor import Visitor

MIB = 1024 * 1024
SECRET = "planted-in-the-server"


def test_153_who_and_where(user: Visitor) -> None:
    """Inside: hostname "strata", HOME=/root, USER=root, TERM=xterm-256color, PATH=/usr/local/bin:/usr/bin:/bin:/sbin
    (NixOS store dirs may be added), uid 0."""
    said = user.out("hostname; echo $HOME; echo $USER; echo $TERM; echo $PATH; id -u; whoami").split("\n")
    assert said[:4] == ["strata", "/root", "root", "xterm-256color"]
    assert said[4].split(":")[:4] == ["/usr/local/bin", "/usr/bin", "/bin", "/sbin"]
    assert all(more.startswith(("/nix/", "/run/current-system/")) for more in said[4].split(":")[4:])
    assert said[5:] == ["0", "root"]


def test_154_where_it_may_write(user: Visitor) -> None:
    """touch /usr/x and /bin/x fail; touch /tmp/x, /root/x, and (overlay) /data succeed; host unchanged."""
    name = f"x-{user.owner}"
    before = _host(name)
    for refused in ("/usr", "/bin", "/usr/bin", "/lib", "/sbin", "/proc", "/sys"):
        assert user.exec(f"touch {refused}/{name}")["exit_code"] != 0, refused
    assert user.out(f"touch /tmp/{name} /root/{name} /{name} /etc/{name} && mkdir /data && touch /data/{name}") == ""
    assert _host(name) == before == []


def _host(name: str) -> list[str]:
    tops = ("/", "/tmp", "/root", "/etc", "/usr", "/bin", "/usr/bin", "/data", "/lib", "/sbin")
    return [found for top in tops if os.path.lexists(found := f"{top}/{name}")]


def test_155_two_sessions_see_nothing_of_each_other(user: Visitor) -> None:
    """Files in /, /root, /tmp of one invisible in the other; ps shows only own processes."""
    one, two = user.of("one"), user.of("two")
    assert one.out("touch /here /root/here /tmp/here; sleep 100.155 & echo on") == "on"
    assert two.out("ls -d /here /root/here /tmp/here 2>/dev/null | wc -l") == "0"
    every = 'for p in /proc/[0-9]*; do tr "\\0" " " <$p/cmdline; echo; done 2>/dev/null'
    assert "sleep 100.155" in one.out(every)
    seen = two.out(every)
    assert "sleep 100.155" not in seen
    assert "python" not in seen
    assert int(two.out("ls -d /proc/[0-9]* | wc -l")) < 10


def test_156_files_live_as_long_as_the_session(user: Visitor) -> None:
    """File in /root and /data survives shell restart within the session; gone after DELETE."""
    user.out("mkdir /data; echo kept | tee /root/file > /data/file")
    assert user.exec("exit 1")["exit_code"] == 1
    assert user.exec("kill -9 $$")["ended"] == "signal"
    assert user.out("cat /root/file /data/file") == "kept\nkept"
    user.close()
    assert user.out("ls -d /root/file /data/file 2>/dev/null | wc -l") == "0"


@pytest.mark.timeout(120)
def test_157_no_variable_of_the_server(served: Served) -> None:
    """Env inside contains no server variables (FAKE_SECRET planted in the server), by any way in."""
    node, nobody = served.node, served.visitor()
    assert served.manager.run(["systemctl", "set-environment", f"FAKE_SECRET={SECRET}"]).returncode == 0
    for name in ("sandbox", "api"):
        node.call("supervisor.svc.restart", {"name": name})
    node.settle()
    room = node.services()["sandbox"]["pid"]
    assert SECRET in served.manager.run(["cat", f"/proc/{room}/environ"]).stdout

    everything = "env; set; cat /proc/*/environ"
    run = node.call("sandbox.run", {"owner": "u", "session": "s", "argv": ["/bin/sh", "-c", everything]})
    with nobody.web() as shell:
        shell.type(f"{everything}; echo o''ver\n")
        shell.until("over")
    for shown in (nobody.exec(everything)["output"], run["stdout"], shell.shown):
        assert "PATH=" in shown
        assert SECRET not in shown
        assert "STRATA_" not in shown.replace("STRATA_EXEC", "")
        assert "NOTIFY_SOCKET" not in shown


def test_158_no_privilege(user: Visitor) -> None:
    """CapEff 0 and confined to a user namespace not mapped to host root, NoNewPrivs 1, Seccomp 2."""
    status = dict(line.split(":\t", 1) for line in user.out("cat /proc/self/status").split("\n"))
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    inside, outside, count = map(int, user.out("cat /proc/self/uid_map").split())
    assert inside == 0
    assert outside + count <= 2**32
    assert outside != 0
    assert user.out("readlink /proc/self/ns/user") != os.readlink("/proc/self/ns/user")


@pytest.mark.parametrize(
    "attempt",
    [
        "mount -t tmpfs none /mnt",
        "mount --bind / /mnt",
        "umount /proc",
        "mknod /tmp/null c 1 3",
        "mknod /tmp/disk b 8 0",
        "unshare --mount true",
        "unshare --user true",
        "chroot / true",
        "hostname other",
        "echo 1 > /proc/sys/kernel/panic",
        "echo b > /proc/sysrq-trigger",
        "dd if=/dev/mem count=1",
        "nsenter --target 1 --all true",
        "date --set @0",
    ],
)
def test_158_nothing_of_the_hosts_can_be_done(user: Visitor, attempt: str) -> None:
    """mount/mknod/ptrace of host impossible."""
    assert user.exec(attempt)["exit_code"] != 0


def test_158_no_process_of_the_host_can_be_reached(user: Visitor) -> None:
    """Neither seen, signalled nor traced: neither this test nor Strata's own."""
    pid = os.getpid()
    trace = (
        "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True); "
        f"print(sum(libc.ptrace(16, pid, 0, 0) == 0 for pid in (1, {pid}, os.getppid())))"
    )
    assert user.out(f"kill -0 {pid} 2>/dev/null || echo unseen") == "unseen"
    assert user.out(f"python3 -c '{trace}' 2>/dev/null || echo refused") in ("0", "refused")
    assert user.out("cat /proc/1/root/etc/shadow 2>/dev/null | grep -c '[$]' || true") == "0"


# --- network

REACH = "(exec 3<>/dev/tcp/127.0.0.1/{}) 2>/dev/null && echo reached || echo apart"


def test_159_isolated_unless_said_otherwise(user: Visitor) -> None:
    """ISOLATE_NETWORK=true is the default: only lo, no reach of host loopback, where our own server listens."""
    made = user.create()
    assert made["network"] == "isolated"
    lines = user.out("cat /proc/net/dev").split("\n")
    assert [line.split(":")[0].strip() for line in lines if ":" in line] == ["lo"]
    assert user.out(REACH.format(user.address.rpartition(":")[2])) == "apart"
    assert user.refused("PUT", f"/api/v1/sessions/{user.owner}/other", {"network": "host"})[0] == 403


def test_159_opted_out(served: Served) -> None:
    """ISOLATE_NETWORK=false: the host's network; so the test above would notice."""
    nobody = served.visitor()
    assert nobody.create()["network"] == "host"
    assert nobody.out(REACH.format(nobody.address.rpartition(":")[2])) == "reached"


# --- limits


@contextmanager
def others_answer(user: Visitor) -> Iterator[None]:
    """While it lasts, another session and the server go on answering."""
    quiet = user.of("quiet")
    quiet.create()
    slow: list[float] = []
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        over = False

        def ask() -> int:
            count = 0
            while not over:
                begun = time.monotonic()
                assert quiet.out("echo answer") == "answer"
                assert user.active() >= 2
                slow.append(time.monotonic() - begun)
                count += 1
            return count

        asking = pool.submit(ask)
        try:
            until(lambda: slow or asking.done(), "another session answers")
            yield
        finally:
            over = True
        assert asking.result(10) > 1
    assert max(slow) < 2.0, f"an answer took {max(slow):.1f} s"


def test_160_a_fork_bomb(user: Visitor) -> None:
    """It stays within the session's limit of processes; other sessions and the server answer; it ends with its time."""
    user.create(limits={"tasks_max": 48})
    user.exec("mkfifo /root/nothing; exec 9<>/root/nothing")
    bomb = "bomb() { bomb | bomb & }; bomb; read -u 9"  # reading needs no process, so the shell itself is not hit
    with others_answer(user), concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(user.exec, bomb, 1500)
        most = 0
        while not asked.done():
            most = max(most, len(visitor.command_lines(user.owner, "s")))
        result = asked.result()
    assert 8 < most <= 48
    assert result["ended"] == "timeout"
    assert user.out("echo usable") == "usable"
    assert len(visitor.command_lines(user.owner, "s")) < 8


def test_160_a_memory_hog(user: Visitor) -> None:
    """It is killed at the session's limit, which the answer says; other sessions and the server answer."""
    user.create(limits={"memory_max": "64M"})
    user.exec("echo kept > /root/file")
    with others_answer(user):
        result = user.exec("head -c 400M /dev/zero | tail", 15_000)
    assert (result["ended"], result["exit_code"]) == ("oom", 137)
    assert user.out("cat /root/file") == "kept"
    usage = user.ok("GET", f"/api/v1/sessions/{user.owner}/s/usage")
    assert usage["memory_peak"] <= 64 * MIB


def test_160_a_disk_filler(user: Visitor) -> None:
    """The writer hears of it at the session's limit, in bytes as in files, wherever it writes; others have room."""
    user.create(limits={"disk_max": "16M", "inodes_max": 512})
    with others_answer(user):
        for where in ("/root/fill", "/fill", "/var/fill"):
            result = user.exec(f"mkdir -p /var; head -c 64M /dev/zero > {where}; stat -c %s {where}; rm {where}")
            assert "No space left on device" in result["stderr"]
            assert int(result["stdout"]) <= 16 * MIB
        many = user.exec("mkdir /root/d; for i in {1..1000}; do : > /root/d/$i || break; done; rm -r /root/d")
        assert "No space left on device" in many["stderr"]
    assert user.out("head -c 1M /dev/zero > /root/again; stat -c %s /root/again") == str(MIB)
    assert user.of("quiet").out("head -c 20M /dev/zero > /root/fill; stat -c %s /root/fill") == str(20 * MIB)


@pytest.mark.parametrize("driver", ["kernel", "none"])
def test_160_files_in_memory(user: Visitor, driver: str) -> None:
    """What lies in /tmp, /dev/shm and the like is charged to the session's memory: the writer hears of it before that
    is used up, and the session goes on with all of them full."""
    user.create(limits={"memory_max": "64M"}, driver=driver)
    for where in ("/tmp", "/dev/shm", "/run", "/dev", *(["/"] if driver == "none" else [])):
        result = user.exec(f"head -c 200M /dev/zero > {where}/fill", 15_000)
        assert (result["ended"], "No space left on device" in result["stderr"]) == ("exit", True), where
    user.exec("kill -9 $$")
    assert user.out("rm -f /tmp/fill /dev/shm/fill /run/fill; head -c 4M /dev/zero > /tmp/again; echo on") == "on"


def test_160_an_output_flood(user: Visitor) -> None:
    """It is kept to its mebibyte, ends with its time, and holds nobody up."""
    user.create()
    with others_answer(user):
        result = user.exec("yes", 1000)
    assert (result["ended"], result["truncated"], len(result["output"])) == ("timeout", True, MIB)


# --- drivers


@pytest.mark.timeout(120)
def test_161_fuse_that_is_not_there(served: Served) -> None:
    """Driver fuse without fuse-overlayfs -> warns and runs as none. (Without bwrap: with the program strata.)"""
    nobody = served.visitor()
    program = shutil.which("fuse-overlayfs")
    if program:  # hidden in the mount namespace of that server's systemd alone
        assert served.manager.run(["mount", "--bind", "/dev/null", program]).returncode == 0
    try:
        served.node.call("supervisor.svc.restart", {"name": "sandbox"})
        served.node.settle()
        made = nobody.ok("PUT", "/api/v1/sessions/u/s", {"driver": "fuse"})
        assert made["driver"] == "none"
        assert any("fuse-overlayfs" in warning for warning in made["warnings"])
        assert nobody.out("touch /root/x; ls /root") == "x"
    finally:
        if program:
            assert served.manager.run(["umount", program]).returncode == 0


@pytest.mark.parametrize("driver", ["kernel", "fuse"])
def test_162_an_overlay_is_one(strata: Node, user: Visitor, driver: str) -> None:
    """Driver kernel really overlays (write lands in upper; base file visible): / is an overlay of the host's files and
    the session's own, which are all that differs from the base. So does fuse."""
    made = user.create(driver=driver)
    if driver == "fuse" and made["driver"] == "none" and made["warnings"]:
        pytest.skip(f"the driver fuse: {made['warnings']}")
    assert made["driver"] == driver
    assert not [warning for warning in made["warnings"] if "overlay" in warning]
    kind = user.out(
        "while read -r line; do set -- $line; [ $5 = / ] && echo ${line#* - }; done < /proc/self/mountinfo; true"
    )
    assert kind.split()[0] == {"kernel": "overlay", "fuse": "fuse.fuse-overlayfs"}[driver]
    assert user.out("cmp /usr/bin/env /usr/bin/env && wc -c < /usr/bin/env") == str(os.path.getsize("/usr/bin/env"))
    user.out("echo new > /data; echo changed >> /etc/passwd; rm /etc/group")
    found = user.ok("GET", f"/api/v1/sessions/{user.owner}/s/diff")["changes"]
    kinds = {one["path"]: one["kind"] for one in found}
    assert kinds.items() >= {"/data": "added", "/etc/passwd": "modified", "/etc/group": "removed"}.items()


def test_162_an_unknown_driver_is_an_error(user: Visitor, tmp_path: Path) -> None:
    """Unknown driver name -> config error; of a request, 400."""
    said = serving.refused(os.environ | {"STRATA_SANDBOX_OVERLAY_DRIVER": "btrfs", "STRATA_CONFIG_DIR": str(tmp_path)})
    assert (said.returncode, said.stdout) == (1, "")
    assert "overlay_driver must be one of auto, fuse, kernel, none" in said.stderr
    status, says = user.refused("PUT", f"/api/v1/sessions/{user.owner}/s", {"driver": "btrfs"})
    assert (status, "driver must be one of" in says) == (400, True)


def test_163_the_base_tree_is_the_root(served: Served) -> None:
    """BASE_ROOTFS is used as the root and is never modified."""
    nobody = served.visitor()
    before = _tree(served.base)
    assert nobody.create()["driver"] == "kernel"
    assert nobody.out("cat /etc/base-release; ls /usr/bin").split("\n") == [
        "the base",
        *sorted([*serving.PROGRAMS, "sh"]),
    ]
    nobody.out("echo mine > /etc/base-release; rm /usr/bin/stat; touch /usr/new /new; mkdir /bin/d")
    assert nobody.out("cat /etc/base-release; ls -d /usr/new /new; ls /usr/bin/stat 2>/dev/null || echo gone") == (
        "mine\n/new\n/usr/new\ngone"
    )
    assert nobody.of("other").out("cat /etc/base-release; ls /usr/bin/stat") == "the base\n/usr/bin/stat"
    nobody.close()
    assert _tree(served.base) == before


def _tree(top: Path) -> dict[str, Any]:
    """Every file below: who owns it, what it may, when it was changed, what is in it."""
    found: dict[str, Any] = {}
    for path in (top, *top.rglob("*")):
        stat = path.lstat()
        facts = (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size)
        found[str(path)] = facts
    return found


def test_163_a_base_tree_needs_no_driver_to_be_safe(served: Served) -> None:
    """Without an overlay it is the root too, and read-only."""
    nobody = served.visitor()
    before = _tree(served.base)
    assert nobody.ok("PUT", "/api/v1/sessions/u/s", {"driver": "none"})["driver"] == "none"
    assert nobody.out("cat /etc/base-release") == "the base"
    assert nobody.exec("rm /etc/base-release /usr/bin/stat; touch /usr/new")["exit_code"] != 0
    assert _tree(served.base) == before
