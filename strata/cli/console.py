# SPDX-License-Identifier: MIT
"""`strata cli`: a terminal in a session of a server, over its port, for as long as one is at it."""

from __future__ import annotations

import os
import sys

import click

from strata.cli import attach, call, options, output, sandboxes, screen, secret
from strata.cli.place import Place
from strata.client.http import HttpTransport
from strata.client.place import TOKEN_FILE, place
from strata.errors import InvalidArgument, NotFound, StrataError
from strata.paths import Paths

ADDRESS = "localhost:2280"
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_ACTIONS = ["create", "shell", "close"]
_TOKEN_SECONDS = 24 * 3600


@click.command("cli")
@click.option("--addr", metavar="HOST:PORT", default=ADDRESS, show_default=True, help="Where the server listens.")
@click.option("--user", metavar="OWNER", default="testuser", show_default=True, help="Whose session.")
@click.option("--session", metavar="NAME", default="", help="Which session; otherwise cli- and a number.")
@click.option("--detach-key", metavar="KEY", default=attach.DETACH, show_default=True, help="Leaves it open.")
@options.sandbox_token
def command(addr: str, user: str, session: str, detach_key: str, token_file: str) -> int:
    """Open a session on a server and a terminal in it. `exit` closes both; the detach key leaves them open.

    Without a token, one is issued where this machine's Strata lets you.
    """
    where = Place(user, session or f"cli-{os.getpid()}")
    leave, url = screen.key(detach_key), _url(addr)
    token = _token(addr, user, token_file)

    def connect() -> sandboxes.Room:
        return sandboxes.Room(HttpTransport(place(url, token, sandboxes.SECONDS)))

    with connect() as room:
        room.call("create", where.params(), patient=True)
    output.note(f"session {where} on {addr}" + (f"; {detach_key} leaves it open" if leave else ""))
    ended = {"ended": "closed"}
    try:
        ended = attach.look({**where.params(), "terminal": "main"}, leave, connect)
    finally:
        if ended["ended"] != "left":
            _close(connect(), where)
    return attach.said(ended, str(where), f"strata cli --addr {addr} --user {user} --session {where.session}")


def _close(room: sandboxes.Room, where: Place) -> None:
    with room:
        try:
            room.call("close", where.params(), patient=True)
        except NotFound:
            return
    output.note(f"session {where} closed")


def _url(addr: str) -> str:
    if addr.startswith(("http://", "https://")):
        return addr
    host, colon, port = addr.rpartition(":")
    if not colon or not port.isdigit():
        raise InvalidArgument(f"cannot use --addr {addr!r}: expected HOST:PORT, such as {ADDRESS}")
    return f"http://{host or 'localhost'}:{port}"


def _token(addr: str, user: str, file: str) -> str:
    """The one that is given; else a new one for this owner, which goes to no other machine; else none."""
    if file := file or os.environ.get(TOKEN_FILE, ""):
        return secret.token(f"@{file}")
    if addr.rpartition(":")[0].removeprefix("http://") not in (*_LOOPBACK, ""):
        return ""
    params = {"service": "sandbox", "actions": _ACTIONS, "owner": user, "ttl_seconds": _TOKEN_SECONDS}
    try:
        return str(call.call(Paths.from_env(), "identity.issue", params, timeout=5.0)["token"])
    except StrataError as error:
        sys.stderr.write(f"notice: no token ({error.message}); trying without\n")
        return ""
