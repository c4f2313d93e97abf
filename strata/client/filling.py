# SPDX-License-Identifier: MIT
"""Filling a file of ours with what a session sends, by a pipe.

Who writes to a file pays for the memory it takes until it is on a disk (memory cgroups). Were the file itself passed,
that would be the session, and a file larger than its limit, in a /tmp that is kept in memory, would cost it its
processes.
"""

from __future__ import annotations

import os
import stat
from types import TracebackType
from typing import TYPE_CHECKING

from strata.client.local import told

if TYPE_CHECKING:
    import threading

_PIECE = 1_048_576


class Filling:
    """`descriptor` is what to pass in place of `sink`: a pipe if that is a file, which is filled until `end`."""

    def __init__(self, sink: int) -> None:
        self.descriptor = sink
        self._filler: threading.Thread | None = None
        self._failures: list[OSError] = []
        if stat.S_ISREG(os.fstat(sink).st_mode):
            import threading  # most calls can do without

            read, self.descriptor = os.pipe()
            self._filler = threading.Thread(target=_fill, args=(read, sink, self._failures), daemon=True)
            self._filler.start()

    def end(self) -> None:
        """Wait until all is in the file that was sent. Raises StrataError when it could not be written."""
        if self._filler is None:
            return
        os.close(self.descriptor)
        self._filler.join()
        if self._failures:
            with told("write what the session sent"):
                raise self._failures[0]

    def __enter__(self) -> int:
        return self.descriptor

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()


def _fill(read: int, sink: int, failures: list[OSError]) -> None:
    try:
        while os.splice(read, sink, _PIECE):
            pass
    except OSError as error:
        failures.append(error)
    finally:
        os.close(read)
