# SPDX-License-Identifier: MIT
"""runc, the reference runtime of containers."""

from __future__ import annotations

from benchmarks.peers import oci

PEER = oci.runtime(
    "runc", "a bundle with user namespace, own root tree, the usual filter and limits; `runc run --detach`"
)
