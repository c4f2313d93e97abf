# SPDX-License-Identifier: MIT
"""Put the root of a session together, in the mount namespace of its first process.

All mounts are made here and not by bubblewrap, which reads the whole mount table anew for each one it makes. Users of
a session are shown the files through mounts that map owners (mount_setattr(2)): on disk and in all layers root is 0,
whatever range of the host's users the session has today.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Any

from strata import programs
from strata.sandbox.launcher import kernel
from strata.sandbox.layers import binding, devices, disk, fuse, overlay, plain, skeleton
from strata.sandbox.layers.plan import LOWER, MARK, ROOT, STAGE, Plan, Root, lowers_of, read

_USUAL = ("", "/usr")
_SYSTEM = "/run/current-system"
_RUN_BYTES = 16 * 1024 * 1024
_EXCHANGE_BYTES = 16 * 1024 * 1024
_EXCHANGE_FILES = 4096


def build(raw: dict[str, Any], userns: int | None) -> Root:
    """Make the root that the plan (see `plan.Plan`) asks for. Call it in a private mount namespace, privileged there.

    `userns`: the session's user namespace if it maps a range of users; None when the caller is in it already. Raises
    OSError saying what cannot be done.
    """
    plan = read(raw)
    warnings: list[str] = []
    os.umask(0o022)
    _stage(plan)
    kind = disk.mount(plan, userns, warnings)
    lowers = _lowers(plan, userns)
    if plan.mapped:
        kernel.act_as(plan.uid_base, plan.uid_base)
    driver, processes = _mount(plan, lowers, userns, warnings)
    _furnish(plan, userns, warnings)
    if plan.mapped:
        devices.populate(f"{ROOT}/dev", plan)
        kernel.act_as(0, 0, False)
    arguments = () if plan.mapped else devices.arguments(plan)
    exchange = _exchange()
    shells = _shells(plan)
    return Root(ROOT, exchange, *shells, driver, kind, arguments, tuple(warnings), processes)


def _stage(plan: Plan) -> None:
    # An own /proc, because a user namespace gets to mount one only where a whole one is seen (mount_namespaces(7)):
    # a service with ProtectKernelTunables= and the like sees one with holes.
    with contextlib.suppress(PermissionError):
        kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    kernel.mount("strata", STAGE, "tmpfs", kernel.MS_NOSUID, "mode=711,size=64k,nr_inodes=128")
    os.mkdir(ROOT)
    os.mkdir(LOWER)
    os.symlink(plan.directory, MARK)


def _lowers(plan: Plan, userns: int | None) -> list[str]:
    """Mount all lower layers below the stage; their names, the topmost first."""
    for number, path in enumerate(plan.layers):
        os.mkdir(f"{STAGE}/layer{number}")
        disk.mount_layer(path, f"{STAGE}/layer{number}", userns)
    if plan.base:
        sources = {"base": plan.base, "places": skeleton.bare(plan.stock, store=bool(plan.tools))}
    else:
        sources = {"skeleton": skeleton.full(plan.stock, host_shell(plan.tools), plan.network)}
    for name, source in sources.items():
        os.mkdir(f"{STAGE}/{name}")
        binding.bind(source, f"{STAGE}/{name}", userns)
    return lowers_of(plan)


def _mount(plan: Plan, lowers: list[str], userns: int | None, warnings: list[str]) -> tuple[str, tuple[int, ...]]:
    """Lay the layers over one another by the driver asked for, or the best there is; its name and its processes."""
    for number, driver in enumerate(chain := _CHAINS[plan.driver]):
        try:
            return driver, _DRIVERS[driver](plan, lowers, userns)
        except OSError as error:
            # Who named a driver gets that or a refusal, but for a fuse that is not installed (spec 2.2).
            last = number + 1 == len(chain) or (plan.driver == "fuse" and not isinstance(error, FileNotFoundError))
            if last:
                raise
            warnings.append(
                f"the overlay driver {driver} does not work here ({error.strerror}): {chain[number + 1]} it is"
            )
    raise AssertionError("a chain of drivers is never empty")


def _by_kernel(plan: Plan, lowers: list[str], userns: int | None) -> tuple[int, ...]:
    overlay.mount(STAGE, lowers, "upper", "root", plan.mapped)
    return ()


def _by_fuse(plan: Plan, lowers: list[str], userns: int | None) -> tuple[int, ...]:
    return (fuse.mount(plan, lowers, userns),)


def _by_none(plan: Plan, lowers: list[str], userns: int | None) -> tuple[int, ...]:
    plain.mount(plan, lowers)
    return ()


_DRIVERS = {"kernel": _by_kernel, "fuse": _by_fuse, "none": _by_none}
_CHAINS = {"auto": ("kernel", "fuse", "none"), "kernel": ("kernel",), "fuse": ("fuse", "none"), "none": ("none",)}
DRIVERS = tuple(_CHAINS)


def _furnish(plan: Plan, userns: int | None, warnings: list[str]) -> None:
    """What lies on top of the layers: the host's programs, and file systems of the session's own."""
    owner = f"uid={plan.uid_base},gid={plan.uid_base}"
    for path in host_places(plan.base, plan.tools):
        _bind_host(path, userns, warnings)
    tmp, run = plan.part_of_memory(plan.tmp_bytes, 4), plan.part_of_memory(_RUN_BYTES, 16)
    binding.tmpfs(f"{ROOT}/tmp", f"mode=1777,size={tmp},nr_inodes={plan.inodes},{owner}")
    binding.tmpfs(f"{ROOT}/run", f"mode=755,size={run},nr_inodes=4096,{owner}")
    if any(tree.startswith(f"{_SYSTEM}/") for tree in plan.tools):
        os.symlink(os.path.realpath(_SYSTEM), ROOT + _SYSTEM)


def host_places(base: str, tools: tuple[str, ...]) -> list[str]:
    """What a session sees of the host, as far as the host has it; of /nix the store alone, never what is beside it."""
    names = ("usr", *skeleton.MERGED, "nix/store") if not base else ("nix/store",) if tools else ()
    return [path for path in (f"/{name}" for name in names) if os.path.isdir(path) and not os.path.islink(path)]


def _bind_host(path: str, userns: int | None, warnings: list[str]) -> None:
    try:
        binding.bind(path, ROOT + path, userns)
    except OSError as error:
        if userns is None or error.errno != errno.EINVAL:
            raise
        # Read-only as it is, it does for them to belong to nobody.
        binding.bind(path, ROOT + path, None)
        warnings.append(f"{error.strerror}; inside, they belong to nobody")


def _exchange() -> str:
    """A small file system that only Strata writes to and the sandbox reads."""
    path = f"{ROOT}/run/strata"
    os.mkdir(path)
    options = f"mode=711,size={_EXCHANGE_BYTES},nr_inodes={_EXCHANGE_FILES}"
    binding.tmpfs(path, options, kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    return path


def host_shell(tools: tuple[str, ...]) -> str:
    """Root's shell in the skeleton: the best one that the host has."""
    return next(iter(_executable(tools)), "/bin/sh")


def _executable(tools: tuple[str, ...]) -> list[str]:
    """The shells that there are, each bash before any sh. An sh that is a link to bash is both, by its two names."""
    names = [f"{tree}/bin/{name}" for name in ("bash", "sh") for tree in (*_USUAL, *tools)]
    found = [path for path in names if os.access(path, os.X_OK)]
    behind = [path for path in map(os.path.realpath, found) if path.endswith("/bash")]
    return found if found and found[0].endswith("/bash") else [*behind, *found]


def _shells(plan: Plan) -> tuple[str, str]:
    """The best shell there is inside, and the smallest; links are followed as they will be inside."""
    outside = os.open("/", os.O_PATH | os.O_CLOEXEC)
    os.chroot(ROOT)
    try:
        found = _executable(plan.tools)
    finally:
        os.fchdir(outside)
        os.chroot(".")
        os.close(outside)
    if not found:
        mend = "" if plan.base else f"; {programs.install('shell')}"
        raise OSError(errno.ENOENT, f"cannot open a session: there is no shell in {plan.base or '/usr'}{mend}")
    return found[0], next((path for path in found if path.endswith("/sh")), found[0])
