# SPDX-License-Identifier: MIT
"""runc and crun with a bundle of the same walls: a user namespace, the container tools' usual filter, limits."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from typing import Any

from benchmarks.peers import processes, tools, trees
from benchmarks.peers.contract import ALL_BUT_DISK, FIRST_UID, MEMORY, TASKS, UIDS, Argv, Box, Peer, Tools
from benchmarks.peers.shelled import Recipe, opener

CGROUP = "strata-peers"
PROFILE = "debian/usr/share/containers/seccomp.json"
_NAMESPACES = ("pid", "network", "ipc", "uts", "mount", "user", "cgroup")
_NO_CAPABILITIES: dict[str, list[str]] = {
    kind: [] for kind in ("bounding", "effective", "permitted", "inheritable", "ambient")
}


def bundle(box: Box) -> None:
    """The root tree and what the runtime is told of it (the OCI runtime specification)."""
    trees.make(box.root, FIRST_UID)
    (box.path / "config.json").write_text(json.dumps(_config(box)))


def _config(box: Box) -> dict[str, Any]:
    ids = [{"containerID": 0, "hostID": FIRST_UID, "size": UIDS}]
    return {
        "ociVersion": "1.0.2",
        "root": {"path": str(box.root)},
        "hostname": "peer",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "cwd": "/root",
            "args": ["/bin/bash", "--noprofile", "--norc"],
            "env": ["PATH=/usr/bin:/bin", "HOME=/root"],
            "capabilities": _NO_CAPABILITIES,
            "noNewPrivileges": True,
        },
        "mounts": _mounts(),
        "linux": {
            "namespaces": [{"type": kind} for kind in _NAMESPACES],
            "uidMappings": ids,
            "gidMappings": ids,
            "cgroupsPath": f"/{CGROUP}/{box.name}",
            "resources": {"memory": {"limit": MEMORY}, "pids": {"limit": TASKS}},
            "seccomp": _filter(box.tools),
        },
    }


def _mounts() -> list[dict[str, Any]]:
    def mount(where: str, kind: str, *options: str) -> dict[str, Any]:
        return {"destination": where, "type": kind, "source": kind, "options": list(options)}

    return [
        {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro", "nosuid"]},
        mount("/proc", "proc"),
        mount("/dev", "tmpfs", "nosuid", "mode=755", "size=65536k"),
        mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
        mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777"),
        mount("/tmp", "tmpfs", "nosuid", "nodev", "mode=1777"),
    ]


def _filter(tools_: Tools) -> dict[str, Any]:
    """The profile of Debian's containers-common, as it is for a container without capabilities on this machine."""
    profile = json.loads((tools_.peers / PROFILE).read_text())
    keys = ("names", "action", "args", "errnoRet")
    rules = [
        {key: rule[key] for key in keys if rule.get(key) is not None} for rule in profile["syscalls"] if _holds(rule)
    ]
    found = {"defaultAction": profile["defaultAction"], "syscalls": rules}
    return found | {key: profile[key] for key in ("defaultErrnoRet",) if key in profile}


def _holds(rule: dict[str, Any]) -> bool:
    """Whether a rule is for no capability, and for this architecture."""
    wanted, unwanted = rule.get("includes") or {}, rule.get("excludes") or {}
    here = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    elsewhere = "arches" in wanted and here not in wanted["arches"]
    return not (wanted.get("caps") or elsewhere or here in unwanted.get("arches", ()))


def missing(program: str) -> Callable[[Tools], str]:
    """Also without the profile it cannot run with the same walls."""

    def ask(tools_: Tools) -> str:
        if why := tools.lacking(program)(tools_):
            return why
        return (
            ""
            if (tools_.peers / PROFILE).exists()
            else "the filter of containers-common is not there; scripts/bench-peers fetches it"
        )

    return ask


def runtime(program: str, what: str) -> Peer:
    """A peer by one of the runtimes."""

    def call(box: Box, *words: str) -> Argv:
        return [tools.find(box.tools, program), "--root", str(box.tools.scratch / program), *words]

    return Peer(
        name=program,
        what=what,
        isolation=ALL_BUT_DISK,
        version=tools.version(program),
        missing=missing(program),
        open=opener(
            Recipe(
                start=lambda box, _: call(box, "run", "--detach", "--bundle", str(box.path), box.name),
                prepare=bundle,
                enter=lambda box, command: call(box, "exec", box.name, *command),
                end=lambda box: call(box, "delete", "--force", box.name),
                programs=(program,),
            )
        ),
        execute=f"{program} exec",
        around=processes.without_cgroups(CGROUP),
    )
