# SPDX-License-Identifier: MIT
"""Work on a session's layers, from outside: what has changed, an archive of it, a copy to start others from."""

from __future__ import annotations

import base64
import errno
import os
import stat
from typing import Any, Final

from strata import files
from strata.errors import InvalidArgument, ResourceExhausted
from strata.sandbox.files import archive, copying, diff, kernel, places, stage, transfer
from strata.sandbox.files.archive import Choice, Left
from strata.sandbox.files.diff import Layers
from strata.sandbox.files.refusals import Reasons, telling
from strata.sandbox.files.stage import Stage
from strata.sandbox.files.tarring import Archive

_SEPARATOR: Final = b"/"  # no name has one


def changes(arguments: dict[str, Any], _fds: list[int]) -> dict[str, Any]:
    """{changes, next?}: see diff.page. `cursor` takes what `next` said."""
    after = _after(arguments.get("cursor"))
    with telling("compare the session with what it was opened on"), stage.entered(arguments) as here:
        shown, last = diff.page(Layers(here.upper, here.lower, here.marks, here.lower_base), after)
    if last is None:
        return {"changes": shown}
    return {"changes": shown, "next": base64.b64encode(_SEPARATOR.join(last)).decode("ascii")}


def _after(cursor: str | None) -> diff.Path:
    try:
        raw = base64.b64decode(cursor or "", validate=True)
    except ValueError as error:
        raise InvalidArgument("cannot use the cursor: give back what `next` said", param="cursor") from error
    return tuple(raw.split(_SEPARATOR)) if raw else ()


def export(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """A tar archive into the descriptor. {size, sha256, changed, skipped, complete}.

    Of all of the root, of what `path` names there, or with `changes` of the upper layer alone. `attributes`: extended
    ones too. What is mounted below is not gone into: /tmp, /run, /dev, and the host's /usr have to be named.
    """
    transfer.check_descriptor(fds, os.O_RDONLY)
    transfer.widen(fds[0])
    with telling("export"), stage.entered(arguments) as here:
        out = Archive(fds[0])
        try:
            left = _write(out, here, arguments)
            out.end()
        except BrokenPipeError:
            return {"size": out.size, "sha256": "", "changed": 0, "skipped": 0, "complete": False}
    return {"size": out.size, "sha256": out.sha256, **left._asdict(), "complete": True}


def _write(out: Archive, here: Stage, arguments: dict[str, Any]) -> Left:
    attributes = bool(arguments.get("attributes"))
    if arguments.get("changes"):
        return archive.write_tree(out, here.upper, Choice(attributes, here.marks))
    choice = Choice(attributes, uid_base=here.root_base)
    place = places.path(arguments) if arguments.get("path") or arguments.get("path_b64") else b"/"
    with telling(f"export {places.shown(place)}"):
        return _write_path(out, here.root, place, choice)


def _write_path(out: Archive, root: int, place: bytes, choice: Choice) -> Left:
    """Links on the way are followed as inside; one that the path ends in is archived as the link it is."""
    if not place.strip(b"/"):
        return archive.write_tree(out, root, choice)
    directory, name = os.path.split(place.strip(b"/"))
    if name in (b".", b".."):
        raise InvalidArgument("cannot export: the path must end in a name", param="path")
    resolve = files.IN_ROOT | files.NO_MAGICLINKS
    above = files.openat2(root, directory or b".", os.O_RDONLY | os.O_DIRECTORY, resolve)
    try:
        if not stat.S_ISDIR(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
            return archive.write_one(out, above, name, choice)
        top = files.openat2(above, name, os.O_RDONLY | os.O_DIRECTORY, files.NO_SYMLINKS | files.NO_MAGICLINKS)
        try:
            return archive.write_tree(out, top, choice)
        finally:
            os.close(top)
    finally:
        os.close(above)


def snapshot(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Copy the upper layer into the empty directory that the descriptor is. {size, files}: bytes, names.

    At most `most_bytes`. It is on the disk when this returns.
    """
    with telling("take a snapshot", _COPYING), stage.entered(arguments) as here:
        copied = copying.copy_layer(here.upper, fds[0], here.marks, arguments["most_bytes"])
        kernel.syncfs(fds[0])
    return copied._asdict()


_COPYING: Final[Reasons] = {
    errno.ENOSPC: (ResourceExhausted, "the machine's disk is full; remove snapshots"),
}
