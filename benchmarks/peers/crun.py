# SPDX-License-Identifier: MIT
"""crun, the runtime of containers that is written in C."""

from __future__ import annotations

from benchmarks.peers import oci

PEER = oci.runtime("crun", "the same bundle; `crun run --detach`")
