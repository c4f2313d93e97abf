# SPDX-License-Identifier: MIT
"""Whatever the tree and whatever the path: what is opened lies beneath the prefix, or nothing is opened."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from strata import files
from strata.errors import InvalidArgument, PermissionDenied, StrataError
from strata.fs import beneath
from strata.fs.beneath import Wanted
from strata.fs.prefix import Place
from strata.fs.refusals import refusal
from strata.policy.authorize import authorize, opening
from strata.policy.capability import Claims, Constraints
from strata.policy.ratelimit import Buckets

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # hundreds of trees need not wait for a disk
NAMES = st.sampled_from(["a", "b", "c", "..b", "a..b", "ü", "-", " "])
STEPS = st.sampled_from(["a", "b", "c", "..b", "a..b", "ü", "-", " ", ".", "..", ""])
PATHS = st.lists(STEPS, min_size=1, max_size=6).map("/".join)
INSIDE = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
# Links lead anywhere: beside themselves, up, and to absolute paths in and out of the prefix (T is the tree's parent).
TARGETS = st.one_of(PATHS, PATHS.map("../{}".format), PATHS.map("T/root/{}".format), PATHS.map("T/{}".format))
NODES = st.one_of(st.just("file"), st.just("directory"), st.just("fifo"), TARGETS.map("link:{}".format))
TREES = st.lists(st.tuples(INSIDE, NODES), max_size=10)


@contextlib.contextmanager
def tree(nodes: list[tuple[str, str]]) -> Iterator[Path]:
    """`root` with these nodes in it, and files that nobody may reach beside it. What cannot be made is left out."""
    with tempfile.TemporaryDirectory(prefix="strata-tree-", dir=MEMORY) as made:
        top = Path(os.path.realpath(made))
        root = top / "root"
        root.mkdir()
        for name in ("a", "b", "rootevil"):
            (top / name).mkdir()
            (top / name / "a").write_text("outside")
        for path, node in nodes:
            with contextlib.suppress(OSError):
                make(top, root / path, node)
        yield root


def make(top: Path, at: Path, node: str) -> None:
    """One node, and the directories above it; not through a link, which might lead out."""
    if not os.path.realpath(at.parent).startswith(str(at)[: len(str(top)) + 5]):
        return
    at.parent.mkdir(parents=True, exist_ok=True)
    if node == "file":
        with at.open("x") as file:  # "x": what a link leads to, or a fifo, is not opened
            file.write("inside")
    elif node == "directory":
        at.mkdir()
    elif node == "fifo":
        os.mkfifo(at)
    else:
        at.symlink_to(node.removeprefix("link:").replace("T/", f"{top}/", 1))


def place_of(prefix: str, path: str) -> Place:
    """As fs finds a place: by the policy, from a capability's claims."""
    constraints = Constraints(path_prefix=prefix)
    claims = Claims("id", 0, 2**62, "fs", rights=("fs.open",), constraints=constraints)
    return Place(*opening(constraints), authorize(claims, "fs.open", path, buckets=Buckets()))


def expected(root: Path, asked: str) -> Path | None:
    """What realpath(3) says that was asked for, if that is a file or directory beneath the root."""
    real = Path(os.path.realpath(root / asked))
    inside = real == root or root in real.parents
    return real if inside and (real.is_file() or real.is_dir()) else None


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TREES, PATHS, st.booleans(), st.booleans())
@example([("a", "link:../b/a")], "a", True, False)
@example([("a", "link:T/b")], "a/a", False, False)
@example([("a", "link:T/root/b"), ("b", "file")], "a", False, False)
@example([("a", "fifo")], "a", True, True)
def test_what_is_opened_is_what_realpath_says_and_lies_beneath(
    nodes: list[tuple[str, str]], path: str, absolute: bool, cached: bool
) -> None:
    with tree(nodes) as root:
        asked = f"{root}/{path}" if absolute else path
        try:
            opened = beneath.take(place_of(str(root), asked), cached=cached)
        except (StrataError, OSError):
            return
        try:
            assert os.readlink(f"/proc/self/fd/{opened.fd}") == str(expected(root, asked))
            assert opened.is_dir == stat.S_ISDIR(os.fstat(opened.fd).st_mode)
        finally:
            os.close(opened.fd)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TREES, st.lists(NAMES, min_size=1, max_size=4).map("/".join))
def test_what_is_beneath_and_reached_without_absolute_links_is_opened(nodes: list[tuple[str, str]], path: str) -> None:
    """Refusing everything would be safe too; so what realpath finds by links that stay inside must open."""
    relative = [(at, node) for at, node in nodes if not node.startswith(("link:T/", "link:/", "link:..", "link:./.."))]
    relative = [(at, node) for at, node in relative if not node.startswith("link:") or "/.." not in node]
    with tree(relative) as root:
        wanted = expected(root, path)
        if wanted is None or not (root / path).exists():
            return
        opened = beneath.take(place_of(str(root), path))
        try:
            assert os.readlink(f"/proc/self/fd/{opened.fd}") == str(wanted)
        finally:
            os.close(opened.fd)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TREES, PATHS)
def test_writing_changes_nothing_outside(nodes: list[tuple[str, str]], path: str) -> None:
    with tree(nodes) as root:
        before = sorted(os.walk(root.parent / "a")) + sorted(os.walk(root.parent / "b"))
        top = sorted(os.listdir(root.parent))
        with contextlib.suppress(StrataError, OSError):
            opened = beneath.take(place_of(str(root), path), Wanted(os.O_WRONLY, create=True, truncate=True))
            os.close(opened.fd)
        assert sorted(os.walk(root.parent / "a")) + sorted(os.walk(root.parent / "b")) == before
        assert sorted(os.listdir(root.parent)) == top
        assert {(root.parent / name / "a").read_text() for name in ("a", "b", "rootevil")} == {"outside"}


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_a_path_or_a_clear_refusal(text: str) -> None:
    said = ""
    with tree([("a", "file")]) as root:
        try:
            place = place_of(str(root), text)
            os.close(beneath.take(place).fd)
            said = "opened"
        except OSError as error:
            said = refusal(error, "open", place).message
        except StrataError as error:
            said = error.message
    assert said


@pytest.mark.parametrize("cached", [True, False])
def test_an_unknown_kernel_flag_is_not_taken_for_a_path_at_fault(cached: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux before 5.12 answers EINVAL to RESOLVE_CACHED; the thread then does without."""
    real = files.openat2

    def old(at: int, path: bytes, flags: int, resolve: int, mode: int = 0) -> int:
        if resolve & files.CACHED:
            raise OSError(22, "Invalid argument")
        return real(at, path, flags, resolve, mode)

    monkeypatch.setattr(files, "openat2", old)
    with tree([("a", "file")]) as root:
        if cached:
            with pytest.raises(BlockingIOError):
                beneath.take(place_of(str(root), "a"), cached=True)
        else:
            os.close(beneath.take(place_of(str(root), "a")).fd)


def test_a_prefix_that_is_a_file_holds_nothing() -> None:
    with tree([("a", "file")]) as root, pytest.raises(NotADirectoryError):
        beneath.take(place_of(f"{root}/a", "x"))


def test_a_fifo_is_not_opened_and_no_writer_notices() -> None:
    with tree([("a", "fifo")]) as root:
        with pytest.raises(InvalidArgument, match="it is a fifo"):
            beneath.take(place_of(str(root), "a"))
        with pytest.raises(OSError, match="No such device or address"):  # ENXIO, fifo(7): nobody reads
            os.open(root / "a", os.O_WRONLY | os.O_NONBLOCK)


def test_directories_that_never_stop_changing_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def busy(*_: object) -> int:
        tries.append(None)
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with tree([("a", "file")]) as root:
        place = place_of(str(root), "a")
        monkeypatch.setattr(files, "openat2", busy)
        with pytest.raises(BlockingIOError) as caught:
            beneath.take(place)
    assert len(tries) == 16
    assert refusal(caught.value, "open", place).code == 6


def test_a_magic_link_is_not_followed() -> None:
    with tree([]) as root:
        (root / "magic").symlink_to("/proc/self/root/etc/passwd")
        with pytest.raises((PermissionDenied, OSError)):
            beneath.take(Place("/", ".", f"{root}/magic".lstrip("/")))
