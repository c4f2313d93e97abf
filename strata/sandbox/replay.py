# SPDX-License-Identifier: MIT
"""Where in a terminal's output one may begin to read: never inside a character or an escape sequence.

Which of both a byte belongs to can only be told from what came before, and a ring forgets. So the places between
sequences are marked while the output comes, some kilobytes apart, and a viewer begins at the oldest mark that is kept.
"""

from __future__ import annotations

import re
from collections import deque

from strata.sandbox.ring import Ring

_MARKS = 16  # over the length of a ring

# ECMA-48 (8.3.16, 5.4, 5.6) and the xterm control sequences; UTF-8 of RFC 3629. What is neither is one byte long.
_WHOLE = re.compile(
    rb"""(?:
      [^\x1b\x80-\xff]+
    | [\xc2-\xdf][\x80-\xbf] | [\xe0-\xef][\x80-\xbf]{2} | [\xf0-\xf4][\x80-\xbf]{3}
    | [\xc2-\xf4][\x80-\xbf]{0,2}(?=[^\x80-\xbf])           # a character that is not finished by what follows
    | [\x80-\xc1\xf5-\xff]
    | \x1b\[ [\x20-\x3f]* (?: [\x40-\x7e] | (?=[\x00-\x1f\x7f-\xff]) )
    | \x1b[\]PX^_] [^\x07\x1b]* (?: \x07 | \x1b\\ | (?=\x1b[^\\]) )
    | \x1b [\x20-\x2f]* (?: [\x30-\x4f\x51-\x57\x59\x5a\x5c\x60-\x7e] | (?=[\x00-\x1f\x7f-\xff]) )
    )*""",
    re.VERBOSE | re.DOTALL,
)
# Where the state is not known: the first byte that no sequence has in it, or that ends or begins one.
_KNOWN_AGAIN = re.compile(rb"[\n\r\x07]|\x1b\\|(?=\x1b)")


def whole(data: bytes) -> int:
    """How many bytes of `data`, which begins between sequences, are whole characters and sequences."""
    match = _WHOLE.match(data)
    assert match is not None  # the pattern matches nothing at all, too
    return match.end()


def known_again(data: bytes) -> int:
    """The first place in `data`, which begins anywhere, that is most likely between sequences; its end if there is
    none."""
    match = _KNOWN_AGAIN.search(data)
    return match.end() if match else len(data)


class Marks:
    """Places between sequences in what a ring keeps."""

    def __init__(self, ring: Ring) -> None:
        """For a ring that is empty or was kept over a restart; then the first mark is a good guess."""
        self._ring = ring
        self._apart = max(1, ring.size // _MARKS)
        self._marks: deque[int] = deque()
        self._guess()
        self.update()

    @property
    def oldest(self) -> int:
        """Where one who has seen nothing begins."""
        return self._marks[0]

    def update(self) -> None:
        """After each write to the ring, of less than half its size."""
        ring = self._ring
        if ring.end - self._marks[-1] >= self._apart:
            data = ring.read(self._marks[-1], ring.size).data
            if self._marks[-1] >= ring.start and (length := whole(data)):
                self._marks.append(self._marks[-1] + length)
        while self._marks and self._marks[0] < ring.start:
            self._marks.popleft()
        if not self._marks:  # one sequence longer than all that is kept
            self._guess()

    def _guess(self) -> None:
        start = self._ring.start
        self._marks.append(start + known_again(self._ring.read(start, self._ring.size).data) if start else 0)
