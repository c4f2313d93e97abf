# SPDX-License-Identifier: MIT
"""`cp`: files and directories into a session or out of one, checked by SHA-256."""

from __future__ import annotations

import os
import stat
import sys
from typing import Any, NamedTuple

import click

from strata.cli import cp_tree, options, output, progress, sandboxes
from strata.cli.landing import landing
from strata.cli.place import Place, place
from strata.errors import Conflict, InvalidArgument, NotFound

_HOME = "/root"


class End(NamedTuple):
    """One side of a copy; `place` is None for this machine."""

    place: Place | None
    path: str


@click.command("cp")
@click.argument("src", shell_complete=options.complete_end)
@click.argument("dst", shell_complete=options.complete_end)
@options.sandbox_token
def command(src: str, dst: str, token_file: str) -> None:
    """Copy a file or a directory into a session or out of one.

    \b
    strata-ctl cp notes.txt alice/task-001:            into its home, /root
    strata-ctl cp alice/task-001:/root/out ./out       a directory, as it is
    strata-ctl cp - alice/task-001:in.txt < FILE       standard input or output

    A path in a session that does not start with / begins at /root. What is copied onto a directory goes into it. Files
    are replaced whole; mode and, for directories, links and times are kept.
    """
    start, end = side(src), side(dst)
    if (start.place is None) == (end.place is None):
        raise InvalidArgument(
            "cannot tell the direction: one side must be OWNER/SESSION:PATH, and the other a path here"
        )
    if end.place is not None:
        _put(start.path, end.place, end.path, token_file)
    elif start.place is not None:
        _get(start.place, start.path, end.path, token_file)


def side(text: str) -> End:
    """Read `OWNER/SESSION:PATH`, or a path here: one that starts with `/` or `.`, or has no such colon."""
    name, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")) or name.count("/") > 1 or not name:
        return End(None, text)
    return End(place(name), path)


def inside(path: str) -> str:
    """An absolute path in a session."""
    return os.path.normpath(os.path.join(_HOME, path))


def _put(source: str, to: Place, path: str, token_file: str) -> None:
    if source != "-" and os.path.isdir(source):
        cp_tree.put(source, to, _target(to, path, source, token_file), token_file)
        return
    target = _target(to, path, source, token_file)
    fd = 0 if source == "-" else os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        put_file(fd, source, to, target, token_file)
    finally:
        if fd:
            os.close(fd)


def put_file(fd: int, name: str, to: Place, target: str, token_file: str) -> None:
    """Send an open file, from its beginning if it has one, and compare. Raises StrataError."""
    found = os.fstat(fd)
    plain = stat.S_ISREG(found.st_mode)
    params: dict[str, Any] = {
        **to.params(),
        "path": target,
        "mode": f"{stat.S_IMODE(found.st_mode) if plain else 0o644:04o}",
    }
    if plain:
        os.lseek(fd, 0, os.SEEK_SET)
        params["size"] = found.st_size
    with sandboxes.connect(token_file) as room, progress.shown(fd, name, found.st_size if plain else None):
        answer = room.put(params, fd)
    if plain:
        progress.check(fd, answer, name)
    output.note(f"{name} -> {to}:{answer.get('path', target)}")


def _target(to: Place, path: str, source: str, token_file: str) -> str:
    """Where it goes: into a directory that is there, else under the very name."""
    target = inside(path)
    if not path.endswith("/") and path and not is_directory(to, target, token_file):
        return target
    if source == "-":
        raise InvalidArgument("cannot copy standard input into a directory: name the file, as in OWNER/SESSION:in.txt")
    return os.path.join(target, os.path.basename(os.path.abspath(source)))


def is_directory(of: Place, path: str, token_file: str) -> bool:
    """Whether a session has a directory of that name, or a link that leads to one."""
    with sandboxes.connect(token_file) as room:
        try:
            kind = room.call("stat", {**of.params(), "path": path})["kind"]
            if kind == "symlink":
                kind = room.call("stat", {**of.params(), "path": f"{path}/."})["kind"]
        except (NotFound, Conflict, InvalidArgument):  # nothing there, or a link that leads to a file or nowhere
            return False
    return bool(kind == "directory")


def _get(source: Place, path: str, target: str, token_file: str) -> None:
    origin = inside(path)
    if os.path.isdir(target):
        target = os.path.join(target, os.path.basename(origin) or source.session)
    if is_directory(source, origin, token_file):
        if target == "-":
            raise InvalidArgument(
                f"cannot copy a directory to standard output; `strata-ctl sandbox export {source} -` can"
            )
        cp_tree.get(source, origin, target, token_file)
        return
    if target == "-":
        sys.stdout.flush()
        with sandboxes.connect(token_file) as room:
            room.get("get", {**source.params(), "path": origin}, 1)
        return
    get_file(source, origin, target, token_file)


def get_file(source: Place, origin: str, target: str, token_file: str) -> None:
    """Fetch one file into a new one beside `target`, compare, and let it take the name. Raises StrataError."""
    params = {**source.params(), "path": origin}
    with sandboxes.connect(token_file) as room:
        about = room.call("stat", params)
        # Never more than the usual rights: a session does not decide who on this machine may change a file.
        with landing(target, int(str(about["mode"]), 8) & 0o755) as fd:
            with progress.shown(fd, origin, about.get("size")):
                answer = room.get("get", params, fd)
            progress.check(fd, answer, origin)
    output.note(f"{source}:{origin} -> {target}")
