# SPDX-License-Identifier: MIT
"""All that holds for a server, and all that no rude peer can do to it, where its peers may pass descriptors too.

Such a server reads and writes over a transport of our own; nobody may notice.
"""

from __future__ import annotations

import pytest
import socket_room
from test_clients import *  # noqa: F403  the same tests
from test_rude_peers import *  # noqa: F403
from test_server import *  # noqa: F403


@pytest.fixture(autouse=True)
def _other_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_room, "takes_descriptors", True)
