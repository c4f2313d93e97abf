# SPDX-License-Identifier: MIT
"""The identity service as a process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

from strata import durable
from strata.config import Settings
from strata.errors import Conflict, InvalidArgument
from strata.identity import handlers, keys, revocations, seed
from strata.identity.handlers import Room
from strata.identity.issuer import Issuer
from strata.identity.keys import KeyStore
from strata.identity.revocations import Revocations
from strata.identity.verifiers import Verifiers
from strata.paths import Paths
from strata.policy.gate import Gate
from strata.policy.trust import Trust
from strata.sockets import listen
from strata.sockets.server import Server
from strata.systemd import daemon
from strata.systemd.audit import Denials


@contextlib.asynccontextmanager
async def compose(paths: Paths, settings: Settings) -> AsyncIterator[Server]:
    """The identity service's server. Raises InvalidArgument when its state is damaged: it then must not start."""
    with _owned(state_directory(paths)) as directory, _room(directory, settings) as room:
        yield Server(handlers.METHODS, room, room.gate, Denials())


def state_directory(paths: Paths, env: Mapping[str, str] = os.environ) -> Path:
    """What StateDirectory= made (systemd.exec(5)), else `identity` in the state directory."""
    given = env.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(given) if given else paths.state_dir / "identity"


@contextlib.contextmanager
def _room(directory: Path, settings: Settings) -> Iterator[Room]:
    _check_whole(directory, keys.FILE, revocations.FILE)
    restarted = (directory / revocations.FILE).exists()
    revoked = Revocations(directory / revocations.FILE, settings.identity.max_ttl_seconds)
    try:
        if revoked.cap_ids():  # a first start that was cut short leaves an empty journal and no keys
            _check_whole(directory, revocations.FILE, keys.FILE)
        given = os.environ.get("CREDENTIALS_DIRECTORY", "")
        credential = seed.handed_over(given, settings.identity.key_file)
        store = KeyStore(directory, settings.identity.key_overlap_seconds, credential)
        trust = Trust()
        trust.revoke(revoked.cap_ids())
        trust.set_keys(store.verifying())
        gate = Gate(trust, settings.operators)
        with contextlib.closing(Verifiers(restarted, listen.stored())) as verifiers:
            yield Room(store, Issuer(store, settings.node_id, settings.identity), revoked, verifiers, trust, gate)
    finally:
        revoked.close()


def _check_whole(directory: Path, there: str, missing: str) -> None:
    """Keys and revocations come and go together: half of the state would revive or kill capabilities unseen."""
    if (directory / there).exists() and not (directory / missing).exists():
        raise InvalidArgument(
            f"cannot start: {directory} has {there} but no {missing}; restore it from a backup, "
            "or remove the whole directory to begin anew (every token then ends)"
        )


@contextlib.contextmanager
def _owned(directory: Path) -> Iterator[Path]:
    """The directory, made if need be, with a lock on it: two identities would overwrite each other's state."""
    with durable.told(f"make the state directory {directory}"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(f"cannot use {directory}: another identity service does; stop it first") from error
        yield directory
    finally:
        os.close(fd)


def main() -> int:
    """Serve until told to stop; the exit code."""
    return daemon.run(compose, "identity")


if __name__ == "__main__":
    sys.exit(main())
