# SPDX-License-Identifier: MIT
"""How much of a result a model is given: the official clients take no event of more than 1 MiB, and hang up."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

MOST = 1_000_000
"""Bytes of a result, as JSON."""
_STREAM = MOST // 6  # of each stream: two of three are told twice, as text and as structured content
_PIECE = MOST // 2  # of a file


def command(result: Mapping[str, Any], texts: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """What a command wrote, structured and as texts; where it is too much, the beginning of each, and `truncated`."""
    if _bytes(result) + sum(map(_bytes, texts)) <= MOST:
        return dict(result), list(texts)
    kept = {name: value for name, value in result.items() if not name.endswith("_b64")}
    streams = {name: _beginning(kept[name], _STREAM) for name in ("output", "stdout", "stderr") if name in kept}
    return kept | streams | {"truncated": True}, [_beginning(text, _STREAM) for text in texts]


def text(content: str) -> str:
    """As much of the beginning of a file as is told at once."""
    return _beginning(content, _PIECE)


def raw(content: bytes) -> bytes:
    """The same of a file that is no text, which is told as base64."""
    return content[:_PIECE]


def entries(found: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """As many entries of a directory as are told at once: each is told twice."""
    sizes = itertools.accumulate(2 * _bytes(entry) for entry in found)
    return [entry for entry, size in zip(found, sizes, strict=True) if size <= MOST]


def _beginning(content: str, most: int) -> str:
    """In JSON a control character takes six bytes."""
    while (size := _bytes(content)) > most:
        content = content[: len(content) * most // size]
    return content


def _bytes(value: Any) -> int:
    return len(msgspec.json.encode(value))
