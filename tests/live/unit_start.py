# SPDX-License-Identifier: MIT
"""Starts transient units from their texts: `unit_start.py ADDRESS VERSION`, standard input is a JSON list of
[name, text]; the first is started, the others are created with it."""

from __future__ import annotations

import json
import sys

from strata.systemd.bus import Bus, TransientUnit
from strata.units.model import UnitText
from strata.units.properties import encode

if __name__ == "__main__":
    texts = [UnitText(*given) for given in json.load(sys.stdin)]
    units = [TransientUnit(text.name, encode(text, int(sys.argv[2])).properties) for text in texts]
    Bus(sys.argv[1]).start_transient(units[0], units[1:])
