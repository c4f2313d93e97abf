# SPDX-License-Identifier: MIT
"""Every file of an installation: its path and its whole text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

import strata
from strata.errors import InvalidArgument
from strata.installation import layout, mark
from strata.installation.layout import Kind, Target
from strata.paths import Paths
from strata.units import names, render
from strata.units.context import Context
from strata.units.text import quote


class Document(NamedTuple):
    """A file as it is to be: `path` is where it is once installed, without the root of a package."""

    kind: Kind
    path: Path
    text: str


def documents(target: Target, context: Context, env: Mapping[str, str]) -> tuple[Document, ...]:
    """All that belongs on the disk for `target`. Raises InvalidArgument for a value that no unit can hold."""
    made = (*_texts(context), *_shipped())
    return tuple(
        Document(kind, layout.directory(target, kind, env) / name, mark.put(text, strata.__version__))
        for kind, name, text in made
        if kind in layout.PLACES[target]
    )


def below(root: Path, context: Context) -> Context:
    """The context as it is once what lies in `root` is installed: the interpreter may be one that is built there."""
    python = Path(context.python)
    inside = Path("/") / python.relative_to(root) if python.is_relative_to(root) else python
    return msgspec.structs.replace(context, python=str(inside))


def directories(paths: Paths, made_by_systemd: str = "/run") -> tuple[Path, ...]:
    """What must be there beside the files: settings, manifests, state, and sockets where systemd does not make that."""
    sockets = () if paths.runtime_dir.is_relative_to(made_by_systemd) else (paths.runtime_dir,)
    return (paths.config_dir, paths.services_d, paths.state_dir, *sockets)


def _texts(context: Context) -> Iterator[tuple[Kind, str, str]]:
    paths = Paths(Path(context.runtime_dir), Path(context.state_dir), Path(context.config_dir))
    for unit in (render.render_slice(context), render.render_supervisor(context, persistent=True)):
        yield "unit", unit.name, unit.text
    yield "sysusers", layout.NAMES["sysusers"], f"# Members operate Strata without a token.\ng {layout.GROUP} -\n"
    lines = [f"d {_word(each)} 0755 root root -\n" for each in directories(paths)]
    yield "tmpfiles", layout.NAMES["tmpfiles"], "".join(lines)
    yield "preset", layout.NAMES["preset"], f"enable {names.SUPERVISOR}\n"


def _shipped() -> Iterator[tuple[Kind, str, str]]:
    package = Path(strata.__file__).parent
    for kind, pattern in layout.SHIPPED.items():
        for file in sorted(package.glob(pattern)):
            name = layout.NAMES.get(kind) or f"man{file.suffix[1:]}/{file.name}"
            yield kind, name, file.read_text(encoding="utf-8")


def _word(path: Path) -> str:
    """A path as tmpfiles.d(5) has it: quoted as in units, its `%` no specifier."""
    if not str(path).isprintable():
        raise InvalidArgument(f"cannot use {str(path)!r} as a directory of an installed Strata: it must be printable")
    return quote(str(path)).replace("%", "%%")
