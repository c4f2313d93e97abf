# SPDX-License-Identifier: MIT
"""Refusals in the audit log: each recorded, until one uid takes more than its share."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from strata.errors import PermissionDenied
from strata.sockets.method import Call
from strata.systemd import audit, journal
from strata.types import Peer


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What would go to the journal."""
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(journal, "send", lambda event, message, **fields: sent.append({"message": message, **fields}))
    monkeypatch.setattr(journal, "later", lambda write: write())
    return sent


def call(uid: int) -> Call:
    return Call(Peer(1, uid, uid), "r1", "fs.open")


def refused() -> PermissionDenied:
    return PermissionDenied("outside", path="/etc/passwd", cap_id="c1")


def test_a_refusal_is_recorded_with_who_what_and_why(records: list[dict[str, Any]]) -> None:
    """Method, subject, capability, resource, request and reason are fields of their own."""

    async def scenario() -> None:
        audit.Denials()(call(1000), refused())

    asyncio.run(scenario())
    (record,) = records
    wanted = {"action": "fs.open", "subject": "uid:1000", "cap_id": "c1", "resource": "/etc/passwd", "req_id": "r1"}
    assert wanted.items() <= record.items()
    assert record["detail"] == "outside"


def test_one_uid_cannot_flood_the_log_nor_hide_another(
    records: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the share only the number is told, at the end of the period; other uids have shares of their own."""
    monkeypatch.setattr(audit, "PERIOD", 0.01)

    async def scenario() -> None:
        denials = audit.Denials()
        for _ in range(audit.SHARE + 7):
            denials(call(1000), refused())
        denials(call(1001), refused())
        async with asyncio.timeout(5):
            while not any("refusals" in record for record in records):
                await asyncio.sleep(0.005)
        denials(call(1000), refused())

    asyncio.run(scenario())
    assert [record["subject"] for record in records].count("uid:1001") == 1
    assert [record["refusals"] for record in records if "refusals" in record] == [7]
    assert len(records) == audit.SHARE + 1 + 1 + 1
