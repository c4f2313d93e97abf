# SPDX-License-Identifier: MIT
"""Which directives a manifest may not write verbatim: Strata's own keys write them, or its contract rests on them.

Everything else is the manifest's to set, and wins over what Strata's templates say.
"""

from __future__ import annotations

from collections.abc import Mapping

from strata.errors import InvalidArgument
from strata.units.directives import lookup
from strata.units.fields import FieldError
from strata.units.model import Manifest

SECTIONS = ("Unit", "Service", "Socket")

_WINDOW = "say it with restart.window"
_CRASHES = "say it with restart.crashes"
_SLICE = "all of Strata runs below strata.slice"
_STOP = "say it with stop_timeout"

# Section → directive → what to do instead.
RESERVED: Mapping[str, Mapping[str, str]] = {
    "Unit": {
        "Description": "say it with description",
        "StartLimitIntervalSec": _WINDOW,
        "StartLimitInterval": _WINDOW,
        "StartLimitBurst": _CRASHES,
        "CollectMode": "a collected unit cannot be told from one that never ran, so states could not be read",
        "JoinsNamespaceOf": "a service may not enter another one's private directories",
    },
    "Service": {
        "Slice": _SLICE,
        "Type": "say it with type",
        "ExecStart": "say it with command",
        "WatchdogSec": 'say it with [health] kind = "watchdog"',
        "RestartSec": "say it with restart.backoff",
        "RestartSteps": "say it with restart.backoff_max",
        "RestartMaxDelaySec": "say it with restart.backoff_max",
        "TimeoutSec": _STOP,
        "TimeoutStartSec": "say it with start_timeout",
        "TimeoutStopSec": _STOP,
        "LogNamespace": "the audit log is in the machine's own journal",
        "Sockets": "say it with [socket]",
        "StartLimitInterval": _WINDOW,
        "StartLimitBurst": _CRASHES,
    },
    "Socket": {
        "Slice": _SLICE,
        "Service": "the socket belongs to the service of the same name",
        "Accept": "a service takes all connections of its socket itself",
        "SocketMode": "say it with socket.mode",
        "FileDescriptorName": "the descriptor carries the service's name",
    },
}


def check(manifest: Manifest) -> None:
    """Raises FieldError, naming the directive, for one that does not exist or that a manifest may not write."""
    for section, given in manifest.unit.items():
        for name in given:
            _check(section, name)


def _check(section: str, name: str) -> None:
    key = f"unit.{section}.{name}"
    if name in RESERVED[section]:
        raise FieldError(key, f"is not yours to set: {RESERVED[section][name]}")
    try:
        lookup(section, name)
    except InvalidArgument as error:
        raise FieldError(key, f"cannot be used: {error.message}") from error
