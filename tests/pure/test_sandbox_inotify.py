# SPDX-License-Identifier: MIT
"""Several may look at one file: the kernel has one watch for them all, and each is told until it looks no more."""

from __future__ import annotations

import asyncio
from pathlib import Path

from strata.sandbox.inotify import Inotify


def test_each_of_several_who_look_at_a_file_is_told(tmp_path: Path) -> None:
    async def conversation() -> None:
        file, told = tmp_path / "file", []
        file.write_text("")
        inotify = Inotify()
        try:
            one = inotify.watch(str(file), lambda: told.append("one"))
            two = inotify.watch(str(file), lambda: told.append("two"))
            file.write_text("x")
            inotify.read()
            assert {*told} == {"one", "two"}
            inotify.forget(one)
            told.clear()
            file.write_text("y")
            inotify.read()
            assert {*told} == {"two"}
            inotify.forget(two)
            file.write_text("z")
            inotify.read()
            assert {*told} == {"two"}
        finally:
            inotify.close()

    asyncio.run(conversation())


def test_a_file_that_is_gone_can_be_forgotten(tmp_path: Path) -> None:
    async def conversation() -> None:
        file = tmp_path / "file"
        file.write_text("")
        inotify = Inotify()
        try:
            number = inotify.watch(str(file), lambda: None)
            file.unlink()
            inotify.read()
            inotify.forget(number)
        finally:
            inotify.close()

    asyncio.run(conversation())


def test_who_makes_changes_faster_than_they_are_heard_does_not_keep_the_loop(tmp_path: Path) -> None:
    async def conversation() -> None:
        one, other = tmp_path / "one", tmp_path / "other"
        one.touch()
        other.touch()
        heard = 0

        def written() -> None:
            nonlocal heard
            heard += 1
            one.write_bytes(b"x")  # two more for each that is heard
            other.write_bytes(b"x")

        inotify = Inotify()
        try:
            inotify.watch(str(one), written)
            inotify.watch(str(other), written)
            one.write_bytes(b"x")
            for _ in range(10):
                inotify.read()  # returns
            assert heard
        finally:
            inotify.close()

    asyncio.run(conversation())
