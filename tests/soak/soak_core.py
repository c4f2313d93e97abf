# SPDX-License-Identifier: MIT
"""Users of the core: tokens and files behind them, the registry, declared services; and the operator's chores."""

from __future__ import annotations

import itertools
import random
import textwrap
import time
from collections.abc import Callable
from typing import Any

from soak_book import Book, Refused, Wrong
from soak_guests import same
from soak_place import Place
from wire import Wire, request

from strata.units.names import service_unit

_serial = itertools.count()
_LASTS = 'command = ["/bin/sh", "-c", "exec sleep infinity"]\n'
_FAILS = """
command = ["/bin/sh", "-c", "exit 3"]
[restart]
crashes = 2
backoff = "100ms"
window = "30s"
"""


class Core:
    """What the works share."""

    def __init__(self, place: Place, book: Book) -> None:
        self.place, self.book, self.node = place, book, place.node

    def call(self, method: str, params: Any = None, **more: Any) -> Any:
        """A result, on a connection of its own. Raises Refused, or OSError for a connection that ends."""
        with Wire.to(self.node.manager.paths.socket(method.partition(".")[0])) as wire:
            wire.sock.settimeout(60.0)
            wire.send(request(method, params, **more))
            reply = wire.reply_or_end()
        if reply is None:
            raise ConnectionResetError("closed instead of answered")
        if not reply["ok"]:
            raise Refused(reply["error"]["name"], reply["error"]["message"])
        return reply.get("result")

    def refused(self, kind: str, method: str, params: Any, token: str) -> None:
        """It must be refused, as that."""
        try:
            self.call(method, params, token=token)
        except Refused as error:
            if error.name in ("UNAVAILABLE", kind):
                return
            raise
        raise Wrong(f"{method} was allowed; it should be {kind}")

    def until(self, holds: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise Wrong(f"within {seconds:g} s it did not come true that {what}")
            time.sleep(0.1)

    def state(self, name: str) -> str:
        rows = self.call("supervisor.svc.list")["services"]
        return next((str(row["state"]) for row in rows if row["name"] == name), "")


def tokens(core: Core, dice: random.Random) -> None:
    """Issued, narrowed, used on files, looked into, revoked, and refused."""
    top = core.place.files / f"d{dice.randrange(20)}"
    top.mkdir(exist_ok=True)
    wanted = {"service": "fs", "actions": ["open", "read", "write", "list", "stat"], "path_prefix": str(top)}
    with core.book.timed("issue"):
        issued = core.call("identity.issue", wanted | {"format": dice.choice(("v2.public", "v4.public"))})
    with core.book.timed("attenuate"):
        child = core.call("identity.attenuate", {"token": issued["token"], "actions": ["open", "read", "list"]})
    core.call(
        "fs.write", {"path": "file", "data": issued["cap_id"], "create": True, "truncate": True}, token=issued["token"]
    )
    for held in (issued, child):
        with core.book.timed("fs open and read"):
            handle = core.call("fs.open", {"path": "file"}, token=held["token"])["handle"]
            core.call("fs.read", {"handle": handle}, token=held["token"])
        if dice.random() < 0.8:  # others are left to the revocation
            core.call("fs.close", {"handle": handle}, token=held["token"])
    with core.book.timed("fs list"):
        core.call("fs.list", {"path": "."}, token=child["token"])
    core.refused("PERMISSION_DENIED", "fs.write", {"path": "file", "data": "x"}, child["token"])
    same(core.call("identity.introspect", {"token": child["token"]})["active"], True)
    with core.book.timed("revoke"):
        core.call("identity.revoke", {"cap_id": issued["cap_id"]})
    for held in (issued, child):
        core.refused("PERMISSION_DENIED", "fs.list", {"path": "."}, held["token"])


def expiry(core: Core, dice: random.Random) -> None:
    """A token whose time is over is refused, and its handle with it."""
    wanted = {"service": "fs", "actions": ["open", "list"], "path_prefix": str(core.place.files), "ttl_seconds": 1}
    issued = core.call("identity.issue", wanted)
    time.sleep(2.0 + dice.random())
    with core.book.timed("refuse an expired token"):
        core.refused("UNAUTHENTICATED", "fs.list", {"path": "."}, issued["token"])


def registry(core: Core, dice: random.Random) -> None:
    """Names with a lease that is renewed, that runs out, and that are taken back."""
    name, lease = f"soak-{next(_serial)}", dice.random() < 0.7
    entry: dict[str, Any] = {"service": name, "endpoint": f"unix:///run/{name}.sock"}
    with core.book.timed("register"):
        core.call("registry.register", entry | ({"lease_seconds": 2} if lease else {}))
    for _ in range(dice.randint(1, 8)):
        with core.book.timed("resolve"):
            same(core.call("registry.resolve", {"service": name})["endpoint"], entry["endpoint"])
        if lease:
            core.call("registry.register", entry | {"lease_seconds": 2})
    core.call("registry.list")
    if lease:
        listed = lambda: name in {row["service"] for row in core.call("registry.list")["services"]}  # noqa: E731
        core.until(lambda: not listed(), f"the lease of {name} ends", 20.0)
    else:
        core.call("registry.unregister", {"service": name})


def services(core: Core, dice: random.Random) -> None:
    """Declared, changed, crashed, restarted, stopped, quarantined, let go on, removed."""
    paths = core.node.manager.paths
    lasts, fails = f"lasts-{dice.randrange(1000)}", f"fails-{dice.randrange(1000)}"
    try:
        _declare(core, lasts, _LASTS)
        core.until(lambda: core.state(lasts) == "Healthy", f"{lasts} is Healthy")
        with core.book.timed("service restart"):
            core.call("supervisor.svc.restart", {"name": lasts})
        core.place.beside(
            "systemctl", "kill", "--kill-who=main", "--signal=KILL", service_unit(lasts, False, "service")
        )
        core.until(lambda: core.state(lasts) == "Healthy", f"{lasts} is Healthy after a crash")
        _declare(core, lasts, _LASTS + 'description = "changed"\n')
        _declare(core, fails, _FAILS)
        core.until(lambda: core.state(fails) == "Quarantined", f"{fails} is Quarantined")
        core.call("supervisor.svc.reset", {"name": fails})
        core.call("supervisor.svc.describe", {"name": fails})
        with core.book.timed("service stop"):
            core.call("supervisor.svc.stop", {"name": lasts})
    finally:
        for name in (lasts, fails):
            (paths.services_d / f"{name}.toml").unlink(missing_ok=True)
    with core.book.timed("reload"):
        core.call("supervisor.svc.reload", {"apply": True})
    core.until(lambda: not core.state(lasts) and not core.state(fails), "removed services are forgotten")


def _declare(core: Core, name: str, manifest: str) -> None:
    (core.node.manager.paths.services_d / f"{name}.toml").write_text(textwrap.dedent(manifest))
    with core.book.timed("declare"):
        answer = core.call("supervisor.svc.reload", {"apply": True})
    same([one for one in answer["problems"] if name in one], [])


def looks(core: Core, _: random.Random) -> None:
    """An operator at a terminal, and one who leaves in the middle of the events."""
    for words in (
        ("status",),
        ("sandbox", "ls"),
        ("describe", "fs"),
        ("token", "issue", "--service=fs", "--action=list"),
    ):
        with core.book.timed(f"strata-ctl {words[0]}"):
            done = core.node.ctl(*words)
        if done.returncode and "Healthy" not in done.stdout:
            raise Refused("UNAVAILABLE" if "not" in done.stderr else "ctl", f"strata-ctl {words[0]}: {done.stderr}")
    with Wire.to(core.node.manager.paths.socket("supervisor")) as wire:
        wire.send(request("supervisor.events", {"follow": True}))
        wire.reply_or_end()


# --- chores: what disturbs others, each once in a while


def restart_everything(core: Core) -> None:
    """Another strata.toml, and Strata anew: every room is replaced, one after another."""
    text = core.place.settings.read_text()
    number = 90 if "max_sessions = 100" in text else 100
    core.place.settings.write_text(text.replace(f"max_sessions = {190 - number}", f"max_sessions = {number}"))
    with core.book.timed("restart Strata"):
        core.place.ctl("restart", "--timeout=5min")
    core.node.settle()


def restart_rooms(core: Core) -> None:
    """Each by itself."""
    for name in ("registry", "identity", "fs", "sandbox", "api"):
        with core.book.timed("restart a room"):
            core.place.ctl("restart", "--timeout=5min", name)
    core.node.settle()


def reload_systemd(core: Core) -> None:
    """What a package manager does behind Strata's back."""
    with core.book.timed("daemon-reload"):
        core.place.beside("systemctl", "daemon-reload")
