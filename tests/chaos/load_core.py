# SPDX-License-Identifier: MIT
"""Clients of registry, identity and fs, and the operator of declared services."""

from __future__ import annotations

import contextlib
from typing import Any

import declared
from acknowledged import ABSENT
from load import Caller, Client
from world import World

from strata.errors import NotFound, PermissionDenied, StrataError, Unauthenticated
from strata.sockets.client import Client as Wire

GOOD, REFUSED = "good", "refused"
HEALTHY, STOPPED, DECLARED = "Healthy", "Stopped", "Declared"
LONG = 86_400
MOST_TOKENS = 8
ACTIONS = {"fs": ["open", "read", "list", "stat"], "sandbox": ["create", "exec", "list", "stats"]}
SHAPED = {"fs": {"path_prefix": "/tmp"}, "sandbox": {"owner": "*"}}
EXTRA = "extra"


def issue(caller: Caller) -> None:
    """A token, for files or for sandboxes."""
    if len(caller.ledger.of("token")) >= MOST_TOKENS:
        revoke(caller)
        return
    service = caller.chance.choice(("fs", "sandbox"))
    params = {"service": service, "actions": ACTIONS[service], "ttl_seconds": LONG, **SHAPED[service]}
    told = caller.world.call("identity.issue", params)
    _remember(caller, service, told, "issued")


def attenuate(caller: Caller) -> None:
    """A child of a good token; it is not revoked with its parent here, since the parent's entry says nothing of it."""
    for key in sorted(caller.ledger.of("token")):
        if caller.ledger.sure("token", key, GOOD) and key[0] == "sandbox":
            wanted = {"token": caller.kept[key], "actions": ["list", "stats"], "owner": "*", "ttl_seconds": 600}
            caller.world.call("identity.attenuate", wanted)
            return


def _remember(caller: Caller, service: str, told: Any, note: str) -> None:
    key = (service, told["cap_id"])
    caller.kept[key] = told["token"]
    caller.ledger.done("token", key, GOOD, note)


def revoke(caller: Caller) -> None:
    """One that is good; as soon as the answer is there, nobody takes it."""
    keys = sorted(key for key, entry in caller.ledger.of("token").items() if entry.possible == [GOOD])
    if not keys:
        return
    key = caller.chance.choice(keys)
    with caller.ledger.doing("token", key, REFUSED):
        told = caller.world.call("identity.revoke", {"cap_id": key[1]})
    caller.kept.setdefault("revoked", {})[key] = bool(told.get("unconfirmed"))
    if not told.get("unconfirmed"):
        caller.expect(
            verdict(caller.world, str(key[0]), caller.kept[key]) != GOOD,
            f"{key} is taken although its revocation was confirmed",
        )


def use(caller: Caller) -> None:
    """A token that is known to be good or refused, at the service that it is for."""
    keys = sorted(caller.ledger.of("token"))
    if keys:
        key = caller.chance.choice(keys)
        entry = caller.ledger.of("token")[key]
        found = verdict(caller.world, str(key[0]), caller.kept[key])
        unconfirmed = caller.kept.get("revoked", {}).get(key, False)
        if len(entry.possible) == 1 and not unconfirmed:
            caller.expect(found in (*entry.possible, ""), f"token {key} is {found} and was {entry.possible}")


def verdict(world: World, service: str, token: str) -> str:
    """What the service that verifies a token says of it; empty when it cannot say."""
    method, params = {"fs": ("fs.stat", {"path": "/tmp"}), "sandbox": ("sandbox.stats", {})}[service]
    try:
        if service == "fs":
            world.call(method, params, token)
        else:
            from load_sandbox import visitor  # HTTP: on the unix socket root needs none

            status = visitor(world, "*", token).ask("GET", "/api/stats").status
            return {200: GOOD, 401: REFUSED, 403: REFUSED}.get(status, "")
    except (PermissionDenied, Unauthenticated):
        return REFUSED
    except (StrataError, OSError):
        return ""
    return GOOD


def register(caller: Caller) -> None:
    """Say where somebody answers."""
    key = (f"friend-{caller.chance.randrange(6)}",)
    endpoint = f"tcp://127.0.0.1:{caller.chance.randrange(1024, 65536)}"
    with caller.ledger.doing("registration", key, endpoint):
        caller.world.call("registry.register", {"service": key[0], "endpoint": endpoint})


def unregister(caller: Caller) -> None:
    """Take it back."""
    key = (f"friend-{caller.chance.randrange(6)}",)
    gone = contextlib.suppress(NotFound)  # then it is not there either
    with caller.ledger.doing("registration", key, ABSENT, "unregistered"), gone:
        caller.world.call("registry.unregister", {"service": key[0]})


def resolve(caller: Caller) -> None:
    """Over one connection that lives through whatever happens."""
    with Wire(caller.world.paths.socket("registry"), timeout=30) as wire:
        for name in ("fs", "identity"):
            told = wire.call("registry.resolve", {"service": name})["endpoint"]
            caller.expect(told == f"unix://{caller.world.paths.socket(name)}", f"{name} answers at {told}")


def write_file(caller: Caller) -> None:
    """Through fs, by path, all of it."""
    key = (f"f{caller.chance.randrange(8)}",)
    data = f"{key[0]} {caller.chance.getrandbits(64):x}\n" * caller.chance.randrange(1, 200)
    caller.ledger.maybe("file", key, lambda seen: seen is not None and data.startswith(seen), "asked to write")
    params = {"path": str(caller.world.files / key[0]), "data": data, "create": True, "truncate": True}
    caller.world.call("fs.write", params, writer(caller))
    caller.ledger.done("file", key, data, f"{len(data)} bytes")


def read_file(caller: Caller) -> None:
    """Open, read, close."""
    key = (f"f{caller.chance.randrange(8)}",)
    entry = caller.ledger.of("file").get(key)
    if entry is None or len(entry.possible) > 1 or not isinstance(entry.possible[0], str):
        return
    token = writer(caller)
    with Wire(caller.world.paths.socket("fs"), timeout=30) as wire:
        handle = wire.call("fs.open", {"path": str(caller.world.files / key[0])}, token)["handle"]
        read = wire.call("fs.read", {"handle": handle, "size": 100_000}, token)
        wire.call("fs.close", {"handle": handle}, token)
    caller.expect(read["data"] == entry.possible[0], f"{key[0]} reads other than it was written")


def writer(caller: Caller) -> str:
    """A token to write with, for the whole walk."""
    if "writer" not in caller.kept:
        wanted = {"service": "fs", "actions": ["open", "read", "write", "close"], "ttl_seconds": LONG}
        told = caller.world.call("identity.issue", wanted | {"path_prefix": str(caller.world.files)})
        caller.kept["writer"] = told["token"]
    return str(caller.kept["writer"])


# --- the operator


def start(caller: Caller) -> None:
    """A service that may be stopped."""
    name = caller.chance.choice(sorted({*declared.MANIFESTS} - {declared.LOOPER}))
    caller.ledger.maybe("service", (name,), DECLARED, "it is to run, whether that can be done or not")
    with caller.ledger.doing("service", (name,), HEALTHY, "started"):
        caller.world.call("supervisor.svc.start", {"name": name})


def stop(caller: Caller) -> None:
    """The one that nothing else needs."""
    with caller.ledger.doing("service", ("simple",), STOPPED, "stopped"):
        caller.world.call("supervisor.svc.stop", {"name": "simple"})


def restart(caller: Caller) -> None:
    """Any of them."""
    name = caller.chance.choice(sorted({*declared.MANIFESTS} - {declared.LOOPER}))
    caller.ledger.maybe("service", (name,), DECLARED, "it is to run, whether that can be done or not")
    with caller.ledger.doing("service", (name,), HEALTHY, "restarted"):
        caller.world.call("supervisor.svc.restart", {"name": name})


def declare(caller: Caller) -> None:
    """One more, with other settings each time; or take it back."""
    key, paths = (EXTRA,), caller.world.paths
    for other, entry in caller.ledger.of("service").items():
        if DECLARED in entry.possible:
            caller.ledger.maybe("service", other, HEALTHY, "a reload starts what is Declared")
    if caller.chance.random() < 0.4:
        with caller.ledger.doing("service", key, ABSENT, "undeclared"):
            (paths.services_d / f"{EXTRA}.toml").unlink(missing_ok=True)
            _reload(caller)
        return
    with caller.ledger.doing("service", key, HEALTHY, "declared"):
        declared.write(paths, EXTRA, declared.SIMPLE + f"[environment]\nNUMBER = '{caller.chance.randrange(9)}'\n")
        _reload(caller)


def _reload(caller: Caller) -> None:
    told = caller.world.call("supervisor.svc.reload", {"apply": True})
    if told["problems"]:
        raise OSError("; ".join(told["problems"]))


def greet(caller: Caller) -> None:
    """The service that its first client starts."""
    said = declared.greeted(caller.world.paths)
    caller.expect(said in (b"hello", b""), f"the greeter says {said!r}")  # nothing: it was killed before it answered


def clients() -> tuple[Client, ...]:
    """For one walk."""
    return (
        Client("capabilities", ((3, issue), (1, attenuate), (2, revoke), (6, use))),
        Client("registry", ((3, register), (1, unregister), (6, resolve))),
        Client("files", ((3, write_file), (4, read_file))),
        Client("operator", ((1, start), (1, stop), (1, restart), (1, declare), (3, greet))),
    )
