# SPDX-License-Identifier: MIT
"""Which Strata a process is: the version of its code and the settings that it has read.

A room tells systemd when it is ready (STATUS=, sd_notify(3)); the supervisor reads it there, and so knows what runs
even after somebody else has restarted it.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

import msgspec

from strata import __version__
from strata.settings import Settings

_TOLD = re.compile(r"Strata (\S+), settings ([0-9a-f]+)")
_DIGITS = 16


class Edition(NamedTuple):
    """`settings` is a digest of all of them, whatever they were read from."""

    version: str
    settings: str


def edition(settings: Settings) -> Edition:
    """This very process's."""
    canonical = msgspec.json.encode(settings, order="deterministic")
    return Edition(__version__, hashlib.sha256(canonical).hexdigest()[:_DIGITS])


def told(one: Edition) -> str:
    """The sentence that systemd is told.

    >>> told(Edition("1.0", "c0ffee"))
    'Strata 1.0, settings c0ffee'
    """
    return f"Strata {one.version}, settings {one.settings}"


def read(sentence: str) -> Edition | None:
    """What `told` made the sentence of; None for any other sentence."""
    found = _TOLD.fullmatch(sentence)
    return Edition(found[1], found[2]) if found else None


def difference(runs: Edition | None, wanted: Edition) -> str:
    """Why one that runs is not the one that is wanted, as a clause; "" when it is."""
    if runs is None:
        return "it does not tell which Strata it is"
    if runs.version != wanted.version:
        return f"Strata {runs.version} -> {wanted.version}"
    return "the settings changed" if runs.settings != wanted.settings else ""
