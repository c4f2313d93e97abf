# SPDX-License-Identifier: MIT
"""Why a service ends in good order: for good, or because systemd is about to start it again."""

from __future__ import annotations

import logging
import os

from strata.errors import StrataError
from strata.systemd.manager import Manager

log = logging.getLogger(__name__)


async def is_for_good(manager: Manager, unit: str, *, unasked: bool) -> bool:
    """Whether nobody will start this process again: it is to be stopped, or is not systemd's at all.

    What systemd is about to do with the unit is its job (org.freedesktop.systemd1(5)): `stop`, or `restart`, which
    becomes `start` when we are gone. `unasked` answers for an end without any job, by a signal from elsewhere: whether
    Restart= of the unit leaves it at that. Where systemd does not say, all is left as it is: who lives can be adopted
    or ended later.
    """
    if "INVOCATION_ID" not in os.environ:
        return True
    try:
        job = await manager.job_type(unit)
    except StrataError as error:
        log.warning("what runs is left as it is: %s", error.message)
        return False
    return job == "stop" or (not job and unasked)
