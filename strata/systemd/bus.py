# SPDX-License-Identifier: MIT
"""The blocking connection to a systemd manager: the only file that speaks to pystemd.

Every call blocks while holding the interpreter's lock (pystemd 0.15.3 releases it nowhere), so an event loop must not
call it: async rooms use `manager.py`, which talks to a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pystemd.dbusexc import DBusBaseError
from pystemd.dbuslib import DBusAddress, apply_signature, path_decode, path_encode

from strata.errors import NotFound, StrataError, Unavailable
from strata.systemd.refusal import reason, translated
from strata.systemd.state import BRIEF, PROPERTIES, UNSET_64, Job, Row, UnitStatus
from strata.units.rows import Property

_NAME = b"org.freedesktop.systemd1"
_MANAGER_PATH = b"/org/freedesktop/systemd1"
_MANAGER = b"org.freedesktop.systemd1.Manager"
_UNIT_PREFIX = b"/org/freedesktop/systemd1/unit"
_KINDS = {"service": "Service", "socket": "Socket", "slice": "Slice", "scope": "Scope"}

_SIGNAL = 4
"""SD_BUS_MESSAGE_SIGNAL, sd_bus_message_get_type(3)."""

_LOOKS = 5
"""At a unit that changes while it is looked at; what comes after is told by a signal."""

_JOB_MATTERS = ("deactivating", "inactive", "failed")
"""ActiveState of a service whose next job tells what is meant by it."""


def _kind(name: str) -> str:
    return _KINDS.get(name.rpartition(".")[2], "")


class TransientUnit(NamedTuple):
    """A unit to create: its full name and its properties."""

    name: str
    properties: tuple[Property, ...]


class Bus:
    """One connection, straight to the manager's private socket: no bus daemon is needed or asked."""

    def __init__(self, address: str) -> None:
        """Connect, and ask for signals. Raises Unavailable."""
        self.address = address
        self._bus = DBusAddress(address.encode(), True)
        try:
            self._bus.open()
            self._call("Subscribe")
        except DBusBaseError as error:
            raise Unavailable(f"cannot reach systemd at {address}: {reason(error)}") from error

    def close(self) -> None:
        """Hang up."""
        self._bus.close()

    def fileno(self) -> int:
        """Readable when signals wait; then drain `signals`."""
        return int(self._bus.get_fd())

    def version(self) -> str:
        """As `systemctl --version` says it, e.g. `252.39-1~deb12u1`."""
        return _text(self._get(_MANAGER_PATH, "Manager", "Version", "s"))

    def start_transient(self, unit: TransientUnit, extra: Sequence[TransientUnit] = ()) -> str:
        """Create and start `unit`, creating `extra` in the same call (StartTransientUnit); the job's path.

        Raises Conflict when a unit of that name exists, StrataError for anything else systemd refuses.
        """
        arguments = [
            *apply_signature(b"ss", [unit.name.encode(), b"fail"]),
            *_properties(unit.properties),
            (ord("a"), b"(sa(sv))"),
        ]
        for other in extra:
            arguments += [(ord("r"), b"sa(sv)"), *apply_signature(b"s", [other.name.encode()])]
            arguments += [*_properties(other.properties), (-1, None)]
        return _text(self._manager("StartTransientUnit", [*arguments, (-1, None)], unit.name))

    def start(self, name: str) -> str:
        """Start a loaded unit; the job's path."""
        return self._job("StartUnit", name)

    def stop(self, name: str) -> str:
        """Stop a unit; the job's path. Raises NotFound when it is not loaded."""
        self._loaded(name)
        return self._job("StopUnit", name)

    def restart(self, name: str) -> str:
        """Restart a loaded unit, leaving its socket unit listening; the job's path."""
        return self._job("RestartUnit", name)

    def reload(self) -> None:
        """Have systemd read all unit files anew, as `systemctl daemon-reload` does; returns when it has."""
        self._manager("Reload", [], "units")

    def kill(self, name: str, signal: int) -> None:
        """Send a signal to every process of the unit."""
        self._manager("KillUnit", apply_signature(b"ssi", [name.encode(), b"all", signal]), name)

    def kill_run(self, name: str, invocation: str, signal: int) -> bool:
        """The same, as long as the unit is in the run of that InvocationID; whether it was.

        Who decides late must not hit the run that has taken its place. systemd cannot be told which one is meant
        (KillUnit, org.freedesktop.systemd1(5)), and only it may send the signal: it is asked right before.
        """
        if bytes(self.property(name, "Unit", "InvocationID", "ay")).hex() != invocation:
            return False
        self.kill(name, signal)
        return True

    def reset_failed(self, name: str) -> None:
        """Forget failure, restart count and start-limit window. A unit that is gone needs none of it."""
        try:
            self._manager("ResetFailedUnit", apply_signature(b"s", [name.encode()]), name)
        except NotFound:
            return

    def status(self, name: str) -> UnitStatus:
        """What systemd says of the unit now; `gone` when it knows none."""
        try:
            # Not by its path at once: to ask for a property of an unknown unit makes systemd load and forget it, and
            # tell everyone so.
            path = self._loaded(name)
        except NotFound:
            return UnitStatus(name)
        if _kind(name) == "Scope":
            return UnitStatus(name, **self._values(name, path, BRIEF))
        for _ in range(_LOOKS):
            moved = self._moved(path)
            values = self._values(name, path, PROPERTIES)
            if self._moved(path) == moved:
                break
        return UnitStatus(name, **values)

    def _moved(self, path: bytes) -> Any:
        """When the unit's state last changed: what is asked in between is all of one state."""
        return self._get(path, "Unit", "StateChangeTimestampMonotonic", "t")

    def _values(self, name: str, path: bytes, rows: Sequence[Row]) -> dict[str, Any]:
        kind, values = _kind(name), dict[str, Any]()
        for field, interfaces, prop, signature in rows:
            interface = next((one for one in interfaces if one in ("Unit", kind)), "")
            if interface:
                values[field] = _value(field, self._get(path, interface, prop, signature))
            if values["load_state"] == "not-found":
                break
            if field == "active_state" and values[field] in _JOB_MATTERS and kind == "Service":
                values["job"] = self._job_now(name)
                values["straight"] = values[field] == "failed" and self._failed_straight(path)
        return values

    def job_type(self, name: str) -> str:
        """What systemd is about to do with a unit (`restart`, `stop` …); "" for nothing."""
        job = self.property(name, "Unit", "Job", "(uo)")
        if not job or not job[0]:
            return ""
        return _text(self._get(bytes(job[1]), "Job", "JobType", "s"))

    def _job_now(self, name: str) -> str:
        try:
            return self.job_type(name)
        except Unavailable:
            raise
        except StrataError:
            return ""  # it was over before its type could be asked for

    def _failed_straight(self, path: bytes) -> bool:
        """Whether the failed service last left a run, and neither the wait for a restart nor a refused start.

        Who is to be restarted is "inactive" first and then on its way again (service_enter_dead, systemd's
        core/service.c); a start that is refused changes the state of what is inactive already.
        """
        left, over = (self._get(path, "Unit", f"Inactive{way}TimestampMonotonic", "t") for way in ("Exit", "Enter"))
        ended = self._get(path, "Service", "ExecMainExitTimestampMonotonic", "t")
        return bool(left < ended <= over == self._moved(path))

    def fragment(self, name: str) -> str:
        """The file that a loaded unit was read from, "" when there is none."""
        return _text(self.property(name, "Unit", "FragmentPath", "s"))

    def binding(self, name: str) -> str:
        """Where a loaded socket unit listens, and the mode of its file: `/run/x.sock 0666`."""
        listens = self.property(name, "Socket", "Listen", "a(ss)") or []
        mode = self.property(name, "Socket", "SocketMode", "u")
        return " ".join((*(_text(address) for _, address in listens), f"{mode:04o}"))

    def property(self, name: str, interface: str, prop: str, signature: str) -> Any:
        """One property of a unit, with its strings still bytes."""
        return self._get(path_encode(_UNIT_PREFIX, name.encode()), interface, prop, signature)

    def units(self, pattern: str) -> tuple[str, ...]:
        """Names of the loaded units that match a shell pattern."""
        rows = self._manager("ListUnitsByPatterns", apply_signature(b"asas", [[], [pattern.encode()]]), pattern)
        return tuple(_text(row[0]) for row in rows or [])

    def signals(self) -> Iterator[Job | str]:
        """What has happened since the last look: finished jobs, and names of units of which something changed."""
        empty = 0
        # process() gives no word on whether anything is left: an internal step also returns an empty message.
        while empty < 3:
            message = self._process()
            if message.is_empty():
                empty += 1
                continue
            empty = 0
            found = _signal(message)
            if found:
                yield found

    def _process(self) -> Any:
        try:
            return self._bus.process()
        except DBusBaseError as error:
            raise Unavailable(f"cannot hear systemd at {self.address}: {reason(error)}") from error

    def _loaded(self, name: str) -> bytes:
        """The path of a unit. Raises NotFound.

        Asking for it by name would do the same, but pystemd 0.15.3 loses a kilobyte with every call that is refused.
        """
        # Of a pattern, `*?[` alone are special (FNM_NOESCAPE, systemd's core/dbus-manager.c), and no name has those.
        rows = self._manager("ListUnitsByPatterns", apply_signature(b"asas", [[], [name.encode()]]), name)
        for row in rows or []:
            return bytes(row[6])
        raise NotFound(f"cannot find {name}: systemd has no such unit")

    def _job(self, method: str, name: str) -> str:
        return _text(self._manager(method, apply_signature(b"ss", [name.encode(), b"replace"]), name))

    def _manager(self, method: str, arguments: list[tuple[int, Any]], about: str) -> Any:
        try:
            return self._call(method, arguments)
        except DBusBaseError as error:
            raise translated(error, method, about) from error

    def _call(self, method: str, arguments: list[tuple[int, Any]] | None = None) -> Any:
        return self._bus.call_method(_NAME, _MANAGER_PATH, _MANAGER, method.encode(), arguments or []).body

    def _get(self, path: bytes, interface: str, prop: str, signature: str) -> Any:
        full = f"org.freedesktop.systemd1.{interface}".encode()
        try:
            return self._bus.get_property(_NAME, path, full, prop.encode(), signature.encode())
        except DBusBaseError as error:
            raise translated(error, f"Get {prop}", path.decode()) from error


def _properties(properties: Sequence[Property]) -> list[tuple[int, Any]]:
    marshalled: list[tuple[int, Any]] = [(ord("a"), b"(sv)")]
    for prop in properties:
        signature = prop.signature.encode()
        marshalled += [(ord("r"), b"sv"), *apply_signature(b"s", [prop.name.encode()]), (ord("v"), signature)]
        marshalled += [*apply_signature(signature, [_bytes(prop.value)]), (-1, None), (-1, None)]
    return [*marshalled, (-1, None)]


def _bytes(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, tuple | list):
        return [_bytes(item) for item in value]
    return value


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _value(field: str, raw: Any) -> Any:
    if field == "invocation_id":
        return bytes(raw).hex()
    if field == "log_fields":
        return tuple(bytes(item).decode("utf-8", "replace") for item in raw)
    if raw == UNSET_64:
        return None
    return _text(raw) if isinstance(raw, bytes) else raw


def _signal(message: Any) -> Job | str | None:
    """Read no further than is needed: PID 1 tells all of every unit to everybody who is connected to it directly
    (bus_foreach_bus, systemd's core/dbus.c)."""
    member = message.get_member() if message.get_type() == _SIGNAL else b""
    if member == b"PropertiesChanged" and message.get_path().startswith(_UNIT_PREFIX + b"/"):
        return _text(path_decode(message.get_path(), _UNIT_PREFIX))
    if member in (b"JobRemoved", b"UnitRemoved"):
        message.process_reply(False)
        _, *words = map(_text, message.body)
        return Job(*words) if member == b"JobRemoved" else _text(message.body[0])
    return None
