# SPDX-License-Identifier: MIT
"""A reload while something is being done: whoever waits for a service goes on to see it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from node import Node
from services import Services

SLOW = """
command = ["/bin/sh", "-c", "trap 'sleep 1; exit 0' TERM; while :; do sleep 0.1; done"]
"""
ASKED = """
command = ["/bin/sleep", "infinity"]
[health]
kind = "exec"
command = ["/bin/test", "-e", "{file}"]
interval = "1s"
"""
OTHER = 'command = ["/bin/sleep", "infinity"]\n'


@pytest.fixture
def services(strata: Node) -> Iterator[Services]:
    found = Services(strata)
    yield found
    found.take_back()


def _meanwhile(call: Any, *arguments: Any) -> tuple[threading.Thread, list[BaseException]]:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            call(*arguments)
        except BaseException as error:  # noqa: BLE001  shown by the test
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, failed


def test_a_restart_ends_well_although_the_manifests_are_read_again_meanwhile(services: Services) -> None:
    services.declare("slow", SLOW)
    services.until_healthy("slow", 10)
    before = services.pid("slow")
    thread, failed = _meanwhile(services.call, "supervisor.svc.restart", {"name": "slow"})
    services.until(lambda: services.state("slow") == "Restarting", 10)
    services.declare("other", OTHER)
    thread.join(30)
    assert not failed
    assert services.state("slow") == "Healthy"
    assert services.pid("slow") != before


def test_a_service_that_is_asked_for_its_health_becomes_healthy_after_a_reload_meanwhile(services: Services) -> None:
    file = services.paths.runtime_dir / "well"  # what the probe looks for; seen inside as well
    services.declare("asked", ASKED.format(file=file))
    services.until(lambda: services.state("asked") == "Starting", 10)
    services.declare("other", OTHER)
    file.touch()
    try:
        services.until_healthy("asked", 10)
    finally:
        file.unlink()
