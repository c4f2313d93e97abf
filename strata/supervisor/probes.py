# SPDX-License-Identifier: MIT
"""Health of foreign services, which cannot speak sd_notify(3): asked over http, tcp, or by a command."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import os
import signal
import urllib.parse
from collections.abc import Awaitable, Callable

from strata.errors import StrataError
from strata.supervisor.board import Board
from strata.supervisor.operations import Operations
from strata.supervisor.service import Service
from strata.types import ServiceState as S
from strata.units.model import Health

log = logging.getLogger(__name__)
EAGER_SECONDS = 0.1
"""Between probes until the first is answered; then the manifest's interval."""


class Probes:
    """One task for each service that has to be asked, for as long as its unit is active."""

    def __init__(self, board: Board, operations: Operations) -> None:
        self.board, self.operations = board, operations
        self._tasks: dict[str, tuple[str, asyncio.Task[None]]] = {}
        board.listeners.append(self._service_changed)

    async def close(self) -> None:
        """Ask no more."""
        tasks = [task for _, task in self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _service_changed(self, service: Service, _before: S) -> None:
        invocation = service.status.invocation_id if service.status.active_state == "active" and service.probed else ""
        known = self._tasks.get(service.name)
        if known and known[0] == invocation:
            return
        if known:
            known[1].cancel()
            del self._tasks[service.name]
        if invocation:
            self._tasks[service.name] = (invocation, asyncio.create_task(self._ask_for_ever(service, invocation)))

    async def _ask_for_ever(self, service: Service, invocation: str) -> None:
        health = service.manifest.health
        assert health is not None
        loop = asyncio.get_running_loop()
        failures, started = 0, loop.time()
        while True:
            reason = await ask(health)
            failures = failures + 1 if reason else 0
            if bool(service.answered) != (not reason) and (not reason or failures >= health.failures):
                service.answered = not reason
                self.board.refresh(service)
            overdue = not service.answered and loop.time() - started > service.manifest.start_timeout_sec
            hopeless = overdue or (failures >= health.failures and service.answered is False)
            if hopeless and await self._give_up(service, invocation, reason):
                return
            await asyncio.sleep(health.interval_sec if service.answered else min(EAGER_SECONDS, health.interval_sec))

    async def _give_up(self, service: Service, invocation: str, reason: str) -> bool:
        """A service that does not answer is killed: systemd then restarts it, and counts. Whether that could be asked
        for; if not, the service may have recovered until the next probe."""
        self.board.events.tell("svc.unhealthy", service.name, f"killed: {reason}", unit=service.unit)
        try:
            await self.operations.kill(service, invocation)
        except StrataError as error:
            log.warning("cannot kill %s, trying again: %s", service.unit, error.message)
            return False
        return True


async def ask(health: Health) -> str:
    """Why the service is not well, "" when it is."""
    try:
        async with asyncio.timeout(health.timeout_sec):
            return await _ASK[health.kind](health)
    except TimeoutError:
        return f"no answer within {health.timeout_sec:g} s"
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: a host that no name can be (idna)
        return str(error) or type(error).__name__


async def _ask_http(health: Health) -> str:
    status = await asyncio.to_thread(_get, health.url, health.timeout_sec)
    return "" if 200 <= status < 400 else f"{health.url} answered {status}"


def _get(url: str, seconds: float) -> int:
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "localhost", parts.port, timeout=seconds)
    with contextlib.closing(connection):
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        return connection.getresponse().status


async def _ask_tcp(health: Health) -> str:
    if health.target.startswith("/"):
        _, writer = await asyncio.open_unix_connection(health.target)
    else:
        host, _, port = health.target.rpartition(":")
        _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    writer.close()
    return ""


async def _ask_exec(health: Health) -> str:
    process = await asyncio.create_subprocess_exec(
        *health.command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin")},
        start_new_session=True,
    )
    try:
        status = await process.wait()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the probe's children too: it leads a session of its own
        await process.wait()
        raise
    return "" if status == 0 else f"{health.command[0]} exited with status {status}"


_ASK: dict[str, Callable[[Health], Awaitable[str]]] = {"http": _ask_http, "tcp": _ask_tcp, "exec": _ask_exec}
