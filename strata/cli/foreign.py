# SPDX-License-Identifier: MIT
"""Text that others had a part in, on its way to a person's terminal: it is to be read, and never obeyed."""

from __future__ import annotations

_KEPT = "\n\t"
# JSON escapes what is below space; DEL, the C1 controls and what turns the direction of writing it leaves (RFC 8259).
_TURNS = (0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_ESCAPED = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), *_TURNS)}


def shown(text: str) -> str:
    """A sentence in which whatever could act on a terminal is U+FFFD."""
    if text.isprintable():
        return text
    return "".join(ch if ch.isprintable() or ch in _KEPT else "\ufffd" for ch in text)


def in_json(text: str) -> str:
    """A JSON text that means the same and has nothing in it that could act on a terminal."""
    return text.translate(_ESCAPED)
