# SPDX-License-Identifier: MIT
"""What must hold of a world between two steps: nothing is left over, what is told agrees with systemd, all answers."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import declared
from census import Proc
from load_sandbox import visitor
from world import World

from strata.units.names import escape

ROOMS = ("supervisor", "registry", "identity", "fs", "sandbox", "api")
_ROLES = {**dict.fromkeys(ROOMS, 1), "supervisor-gateway": 1, "sandbox-gateway": 1, "launcher": 1, "pid1": 1}
_PER_SESSION = 40
"""Descriptors that a room may hold more for each session: pipes of runs, terminals, pidfds, viewers."""
_SLACK = 24
"""For idle connections that clients keep."""
_LOOP_GET_STATUS64, _LOOP_INFO = 0x4C05, 232


def live_states(world: World) -> Iterator[str]:
    """What the supervisor says of each service is what systemd says."""
    rows, units = world.rows(), world.units("strata-*")
    pids = main_pids(world, [row["unit"] for row in rows.values()])
    for name, row in rows.items():
        active, main = units.get(row["unit"], "inactive"), pids.get(row["unit"], 0)
        expected = {
            "Healthy": ("active", "reloading"),
            "Stopped": ("inactive", "failed"),
            "Quarantined": ("failed",),
            "Declared": ("inactive",),
        }
        if active not in expected.get(row["state"], ()):
            yield f"{name} is {row['state']} for the supervisor and {active} for systemd"
        if row["state"] == "Healthy" and row["pid"] != main:
            yield f"{name} has process {row['pid']} for the supervisor and {main} for systemd"


def main_pids(world: World, units: list[str]) -> dict[str, int]:
    """MainPID by unit."""
    shown = world.systemctl("show", "--property=Id,MainPID", *units)
    parts = [dict(line.split("=", 1) for line in part.splitlines()) for part in shown.strip().split("\n\n")]
    return {part["Id"]: int(part["MainPID"]) for part in parts if "MainPID" in part}


def sessions(world: World) -> set[tuple[str, str]]:
    """As the room has them."""
    return {(row["owner"], row["session"]) for row in world.call("sandbox.list")["sessions"]}


def live_sessions(world: World) -> Iterator[str]:
    """For each session there are one scope, one directory, one disk, and its owner's slice; and no others."""
    told = sessions(world)
    slices = {f"strata-sandbox-{escape(owner)}.slice" for owner, _ in told}
    scopes = {f"strata-sandbox-{escape(owner)}-{escape(name)}.scope" for owner, name in told}
    units = {*world.units("strata-sandbox-*")}
    yield from _differ("scope", scopes, {unit for unit in units if unit.endswith(".scope")})
    yield from _differ("slice", slices, {unit for unit in units if unit.endswith(".slice")})
    top = world.paths.state_dir / "sandbox/sessions"
    yield from _differ("directory", told, {(one.parent.name, one.name) for one in top.glob("*/*")})
    yield from _differ("directory of an owner", {owner for owner, _ in told}, {one.name for one in top.glob("*")})
    yield from _differ("loop device", {f"{owner}/{name}" for owner, name in told}, disks(world))


def disks(world: World) -> set[str]:
    """OWNER/SESSION of each loop device on a file of this world; `deleted` for a file that is no session's.

    By device and inode: the path that the kernel tells is cut once the mount namespace that it was opened in is gone.
    """
    device = os.stat(world.paths.state_dir).st_dev
    top = world.paths.state_dir / "sandbox/sessions"
    known = {path.stat().st_ino: f"{path.parent.parent.name}/{path.parent.name}" for path in top.glob("*/*/disk.ext4")}
    backing = [_backing(path.parent.name) for path in Path("/sys/block").glob("loop*/loop")]
    return {known.get(inode, "deleted") for of, inode in backing if of == device}


def _backing(name: str) -> tuple[int, int]:
    """Device and inode of the file below a loop device (loop(4), LOOP_GET_STATUS64); zeros for one that has none."""
    try:
        fd = os.open(f"/dev/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0, 0
    try:
        device, inode = struct.unpack_from("=QQ", fcntl.ioctl(fd, _LOOP_GET_STATUS64, bytes(_LOOP_INFO)))
        return int(device), int(inode)
    except OSError:
        return 0, 0
    finally:
        os.close(fd)


def live_snapshots(world: World) -> Iterator[str]:
    """For each snapshot there is one directory, and no others."""
    top = world.paths.state_dir / "sandbox/snapshots"
    there = {(one.parent.name, one.name) for one in top.glob("*/*")}
    told: set[tuple[str, str]] = set()
    for owner in {owner for owner, _ in there} | {"ann", "bob"}:
        told |= {(owner, one["name"]) for one in world.call("sandbox.snapshots", {"owner": owner})["snapshots"]}
    yield from _differ("directory of a snapshot", told, there)


def processes(world: World) -> Iterator[str]:
    """Of each room one, with its helpers; elsewhere only what belongs there; none stands still or is astray."""
    found = [one for one in world.processes() if not one.below.startswith("/run-")]
    count = Counter(one.role for one in found)
    for role, wanted in _ROLES.items():
        if count[role] != wanted:
            yield f"{count[role]} processes are {role}, not {wanted}: {_named(found, role)}"
    scopes = {f"strata-sandbox-{escape(owner)}-{escape(name)}.scope" for owner, name in sessions(world)}
    known = {"service", "journald", *_ROLES}
    for one in found:
        if one.role not in known and one.unit not in scopes:
            yield f"a process of nobody's: {one} in {one.below}"
        if _state(one.pid) in "Tt":
            yield f"a process that stands still: {one}"
    payloads = Counter(one.unit for one in found if one.role == "payload")
    yield from (f"{unit} has {payloads[unit]} first processes" for unit in scopes if payloads[unit] != 1)
    yield from _astray(world, found)


def _astray(world: World, known: list[Proc]) -> Iterator[str]:
    """Processes in the world's namespaces that are outside its cgroup."""
    inside = os.readlink(f"/proc/{world.embedded.pid}/ns/pid")
    pids = {one.pid for one in known}
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and int(name) not in pids and os.readlink(f"/proc/{name}/ns/pid") == inside:
                path = Path(f"/proc/{name}/cgroup").read_text()
                if world.embedded.cgroups[-1].name not in path:
                    yield f"process {name} is outside the world's cgroup"


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _named(found: list[Proc], role: str) -> str:
    return ", ".join(str(one) for one in found if one.role.startswith(role)) or "none"


def cgroups(world: World) -> Iterator[str]:
    """In no hierarchy a cgroup of a unit that is not there."""
    active = {name for name, state in world.units().items() if state not in ("inactive", "failed")}
    for top in world.embedded.cgroups:
        for path, names, _ in os.walk(top):
            units = [name for name in names if name.endswith((".service", ".scope", ".slice", ".socket", ".mount"))]
            for name in units:
                if name not in active and os.path.isdir(f"{path}/{name}"):
                    yield f"{path}/{name} is of a unit that is not active"
            names[:] = [name for name in names if name.endswith(".slice")]


def mounts(world: World) -> Iterator[str]:
    """PID 1 and the rooms see the mounts that they saw at the beginning; nobody those of a session that is gone."""
    told = {f"{owner}/{name}" for owner, name in sessions(world)}
    seen: dict[str, set[str]] = {}
    for one in world.processes():
        with contextlib.suppress(OSError):
            points = mount_points(world, one.pid)
            gone = {
                m[1] for p in points if (m := re.search(r"/sandbox/sessions/([^/]+/[^/]+)", p)) and m[1] not in told
            }
            if gone:
                yield f"{one} has mounts of sessions that are gone: {sorted(gone)}"
            if one.role in _ROLES:
                seen[one.role] = {point for point in points if "/sandbox/sessions/" not in point}
    for role, points in world.baseline.get("mounts", {}).items():
        if role in seen:
            yield from _differ(f"mount of {role}", points, seen[role])


def mount_points(world: World, pid: int) -> set[str]:
    """Of a process' mount namespace; numbered directories of systemd's own, without their numbers. Those below /run of
    the machine are covered by another /run; they go when somebody else removes their directories (rmdir(2))."""
    text = Path(f"/proc/{pid}/mountinfo").read_text()
    own = str(world.paths.runtime_dir.parent)
    points = {re.sub(r"-[A-Za-z0-9]{6}(?=/|$)", "-X", line.split()[4]) for line in text.splitlines()}
    return {point for point in points if point.startswith(own) or not point.startswith("/run/strata-test-")}


def descriptors(world: World) -> Iterator[str]:
    """A room has no more of them than at the beginning, and some for each session."""
    allowed = len(sessions(world)) * _PER_SESSION + _SLACK
    base = world.baseline.get("descriptors", {})
    for role, found in held(world).items():
        if role in base and len(found) > len(base[role]) + allowed:
            yield f"{role} has {len(found)} descriptors, {len(base[role])} at first: {Counter(map(_kind, found))}"


def held(world: World) -> dict[str, list[str]]:
    """What the descriptors of each room's processes are."""
    found = {}
    for one in world.processes():
        if one.role in _ROLES:
            with contextlib.suppress(OSError):
                found[one.role] = [_target(one.pid, fd) for fd in os.listdir(f"/proc/{one.pid}/fd")]
    return found


def _target(pid: int, fd: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}")
    except OSError:
        return "gone"


def _kind(target: str) -> str:
    return re.sub(r"\d+", "N", target)


def directories(world: World) -> Iterator[str]:
    """In the runtime and state directories is what was there at the beginning, sessions and snapshots aside."""
    yield from _differ("file", world.baseline.get("files", listing(world)), listing(world))


def listing(world: World) -> set[str]:
    """Names of files, but those that belong to sessions, snapshots and their stock."""
    found = {f"run/{path.name}" for path in world.paths.runtime_dir.iterdir()}
    for path in world.paths.state_dir.rglob("*"):
        name = str(path.relative_to(world.paths.state_dir))
        if not re.match(r"(sandbox|.*/sandbox)/(sessions|snapshots|stock)(/|$)", name):
            found.add(f"state/{name}")
    return found - {"run/greeter.sock"}


def answers(world: World) -> Iterator[str]:
    """The next request to each room over each protocol works."""
    world.call("supervisor.status")
    world.call("registry.resolve", {"service": "fs"})
    if "probe" not in world.baseline:
        wanted = {"service": "sandbox", "actions": ["create", "exec", "shell", "close", "stats"], "owner": "probe"}
        world.baseline["probe"] = world.call("identity.issue", wanted | {"ttl_seconds": 86_400})["token"]
        wanted = {"service": "fs", "actions": ["list"], "path_prefix": "/tmp"}
        world.baseline["fs-probe"] = world.call("identity.issue", wanted | {"ttl_seconds": 86_400})["token"]
    world.call("identity.introspect", {"token": world.baseline["probe"]})
    world.call("fs.list", {"path": str(world.files)}, world.baseline["fs-probe"])
    if declared.greeted(world.paths) != b"hello":
        yield "the greeter does not greet"
    ids = {"owner": "probe", "session": "s"}
    done = world.call("sandbox.exec", {**ids, "command": "echo $((6 * 7))"})
    if done["output"] != "42":
        yield f"sandbox.exec answers {done}"
    yield from _at_the_door(world)
    world.call("sandbox.close", ids)


def _at_the_door(world: World) -> Iterator[str]:
    guest = visitor(world, "probe", world.baseline["probe"])
    if guest.exec("echo $((6 * 7))")["output"] != "42":
        yield "exec over HTTP does not answer 42"
    with guest.grpc() as rpc:
        if rpc.exec("echo $((6 * 7))").output != "42":
            yield "exec over gRPC does not answer 42"
    with guest.web() as shell:
        shell.type("echo $((6 * 7))\n")
        shell.until("42")


def _differ(what: str, wanted: set[Any], found: set[Any]) -> Iterator[str]:
    if lost := wanted - found:
        yield f"{what} missing: {sorted(map(str, lost))}"
    if more := found - wanted:
        yield f"{what} too many: {sorted(map(str, more))}"


INVARIANTS: dict[str, Callable[[World], Iterator[str]]] = {
    "the next request works": answers,
    "states agree with systemd": live_states,
    "sessions agree with units, directories and disks": live_sessions,
    "snapshots agree with directories": live_snapshots,
    "no orphan process": processes,
    "no orphan cgroup": cgroups,
    "no orphan mount": mounts,
    "no orphan descriptor": descriptors,
    "no orphan file": directories,
}
