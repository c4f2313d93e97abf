# SPDX-License-Identifier: MIT
"""The manager hears of every job's end, however reports are bunched."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

from strata.systemd.manager import Manager
from strata.systemd.reports import Answer, JobDone
from strata.systemd.state import Job


def test_jobs_that_end_before_anyone_has_read_what_they_are_called_are_not_lost() -> None:
    async def main() -> None:
        manager = Manager("", Mock())
        manager._writer = Mock()
        manager._started.set()
        stops = [asyncio.create_task(manager.stop(f"{number}.scope")) for number in range(1, 501)]
        await asyncio.sleep(0)
        for number in range(1, 501):
            manager._hear(Answer(number, f"/job/{number}"))
        for number in range(1, 501):
            manager._hear(JobDone(Job(f"/job/{number}", f"{number}.scope", "done")))
        async with asyncio.timeout(5):
            jobs = await asyncio.gather(*stops)
        assert [job.unit for job in jobs] == [f"{number}.scope" for number in range(1, 501)]

    asyncio.run(main())
