# SPDX-License-Identifier: MIT
"""One declared service as the supervisor sees it now. `Board` owns these; everyone else reads."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from strata import edition
from strata.edition import Edition
from strata.supervisor.states import Observation, state_of
from strata.systemd.state import UnitStatus
from strata.types import ServiceState
from strata.units import names
from strata.units.model import Manifest
from strata.units.render import UnitText
from strata.units.rows import Property

PROBED = ("http", "tcp", "exec")
MANIFEST, UNIT = "STRATA_MANIFEST", "STRATA_UNIT"
"""The fields by which a running unit is recognised (strata.units.render)."""

_RESTARTS = {"Restart", "RestartMode", "RestartPreventExitStatus"}


class Marks(NamedTuple):
    """Digests of the manifest and of the texts of its units; "" for a socket that there is not."""

    manifest: str
    unit: str
    socket: str


@dataclass
class Service:
    """A manifest, the units made of it, and what was last seen of them."""

    manifest: Manifest
    texts: tuple[UnitText, ...]
    units: tuple[tuple[str, tuple[Property, ...]], ...]
    marks: Marks
    status: UnitStatus
    socket: UnitStatus | None
    stop_wished: bool = False
    restart_wished: bool = False  # asked for, and the old process has not been replaced yet
    answered: bool | None = None
    unstartable: str = ""
    state: ServiceState = ServiceState.DECLARED
    since: float = field(default_factory=time.time)
    crash_told: str = ""  # the invocation whose end was told last
    looked_at: bool = False
    described: float = 0.0  # time.monotonic() of the last look made for a caller of describe
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def unit(self) -> str:
        """Name of the service unit."""
        return names.service_unit(self.name, self.manifest.core, "service")

    @property
    def socket_unit(self) -> str:
        """Name of the socket unit, "" when the service has none."""
        return names.service_unit(self.name, self.manifest.core, "socket") if self.manifest.socket else ""

    @property
    def on_demand(self) -> bool:
        """Whether its first client starts it, and it may end by itself."""
        return self.manifest.activation == "on-demand"

    @property
    def always_restarted(self) -> bool:
        """Whether systemd starts it again however it ends, unless it was stopped or is Quarantined: a manifest may say
        otherwise."""
        return not self.on_demand and not _RESTARTS & self.manifest.unit.get("Service", {}).keys()

    @property
    def listening(self) -> bool:
        """Whether systemd holds its socket open: clients are not refused, whatever the state."""
        return self.socket is not None and self.socket.active_state == "active"

    @property
    def probed(self) -> bool:
        """Whether the supervisor itself has to ask if the service is well."""
        return self.manifest.health is not None and self.manifest.health.kind in PROBED

    @property
    def changed(self) -> bool:
        """Whether what is loaded was made from another text than the one we hold."""
        return not self.status.gone and (self.status.log_field(UNIT) != self.marks.unit or self.rebinds)

    @property
    def rebinds(self) -> bool:
        """Whether another socket is loaded than the one we hold, or none."""
        return self.socket is not None and self.socket.log_field(UNIT) != self.marks.socket

    @property
    def address(self) -> str:
        """Where its socket is to listen (ListenStream=, systemd.socket(5)); "" when it has none."""
        lines = self.texts[1].text.splitlines() if len(self.texts) > 1 else []
        listens = (line.partition("=")[2] for line in lines if line.startswith("ListenStream="))
        return next(listens, "").replace("%%", "%")

    @property
    def binding(self) -> str:
        """The same with the mode of the file, as systemd's `Bus.binding` tells them of a socket that is loaded."""
        return f"{self.address} {self.manifest.socket.mode:04o}" if self.manifest.socket else ""

    @property
    def digest(self) -> str:
        """What has to change for a reload to restart it: of one of ours its unit, of a user's what he has written."""
        return self.marks.unit if self.manifest.core else self.marks.manifest

    @property
    def running_digest(self) -> str:
        """The same of what is loaded; "" when nothing is."""
        return self.status.log_field(UNIT if self.manifest.core else MANIFEST)

    def outdated(self, wanted: Edition) -> str:
        """Why what runs is not what it should be, as a clause; "" when it is, and when nothing runs."""
        if not self.status.running or self.stop_wished:
            return ""
        if self.manifest.core and (reason := edition.difference(edition.read(self.status.status_text), wanted)):
            return reason
        if self.running_digest == self.digest:
            return ""
        return "its unit changed" if self.manifest.core else "its manifest changed"

    def declare_anew(self, other: Service) -> None:
        """Take over another's declaration; what is known of the units stays."""
        self.manifest, self.texts, self.units, self.marks = other.manifest, other.texts, other.units, other.marks
        self.socket = (self.socket or other.socket) if self.socket_unit else None
        self.unstartable = other.unstartable

    def observation(self) -> Observation:
        """What the state is computed from."""
        answered = bool(self.answered) if self.probed else None
        return Observation(
            self.status, self.socket, self.stop_wished, answered, bool(self.unstartable), self.restart_wished
        )

    def look(self) -> ServiceState:
        """The state as of now."""
        return state_of(self.observation())
