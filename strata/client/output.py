# SPDX-License-Identifier: MIT
"""What is read while it comes: the output of a run, and events of files."""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Generic, TypeVar

from strata.client.results import Chunk, RunInfo, as_bytes, fill, whole
from strata.client.results_files import Event
from strata.errors import Internal

T = TypeVar("T")


class Stream(Generic[T]):
    """Iterate over it; leaving it early (`close`, or the end of a `with`) gives the work behind it up."""

    def __init__(self, items: Generator[Any, None, None], read: Callable[[Any], T]) -> None:
        self._items, self._read = items, read

    def __iter__(self) -> Stream[T]:
        return self

    def __next__(self) -> T:
        return self._read(next(self._items))

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading."""
        self._items.close()


def chunk(item: Any) -> Chunk | RunInfo:
    """One item of sandbox.output: bytes; and last, how the run stands."""
    if not isinstance(item, dict):
        raise Internal("cannot read the output: an item of it is no object")
    if "stream" not in item:
        return fill(RunInfo, item)
    data = as_bytes(str(item.get("data", "")), str(item.get("data_b64", "")))
    return Chunk(str(item["stream"]), whole(item.get("offset", 0)), data, whole(item.get("lost", 0)))


def event(item: Any) -> Event:
    """One item of sandbox.watch."""
    if isinstance(item, dict) and "from" in item:
        item = item | {"moved_from": item["from"]}
    return fill(Event, item)
