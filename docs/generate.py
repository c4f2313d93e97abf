# SPDX-License-Identifier: MIT
"""Write the parts of the documents that must not drift from the code: `python docs/generate.py [--check]`.

Between `<!-- generated: NAME -->` and `<!-- end: NAME -->` stands what the function of that name returns; all around it
is written by hand. So is docs/manual, of which the manual pages in strata/man are made; strata/completion is click's.
Names, types, defaults and values are read from the code; what they mean, from the *.toml here. A method, key or limit
that is in one place only fails the test.
"""

from __future__ import annotations

import functools
import importlib
import operator
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import manual
import msgspec
from exposure import exposure
from formatting import anchor, noun, plain, shown, table
from http_page import door_errors, http_parameters, http_routes

import strata
from strata import config
from strata.cli import completion, program, verbs
from strata.errors import ERRORS
from strata.fs import handlers as fs
from strata.identity import handlers as identity
from strata.registry import handlers as registry
from strata.sandbox import handlers as sandbox
from strata.sandbox.permission import GROUPS
from strata.sockets.method import Method
from strata.supervisor import handlers as supervisor
from strata.types import Access
from strata.units import contract, manifest, model

HERE = Path(__file__).resolve().parent
PACKAGE = Path(strata.__file__).resolve().parent
ROOMS: dict[str, tuple[Method, ...]] = {
    "registry": registry.METHODS,
    "identity": identity.METHODS,
    "fs": fs.METHODS,
    "supervisor": supervisor.METHODS,
    "sandbox": sandbox.METHODS,
}
_SPELLINGS = frozenset({"owner_id", "user_id", "uid", "session_id", "sid", "after", "next"})
"""Parameters of sandbox.* that are other names of one beside them: said once, in 2.3 and at the methods with pages."""
_ACCESS = {Access.OPEN: "anybody who can connect", Access.OPERATOR: "operator", Access.TOKEN: "token"}
_SINCE = {"predecessor": "As the predecessor's.", "changed": "The predecessor's, changed.", "new": "New."}
_BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)


def told() -> dict[str, dict[str, Any]]:
    """methods.toml: what each method answers, by its name."""
    return tomllib.loads((HERE / "methods.toml").read_text(encoding="utf-8"))


def overview() -> str:
    """One line per method."""
    rows = [
        (
            f"[`{method.name}`](#{anchor(method.name)})",
            str(method.access),
            told()[method.name]["since"],
            _sentence(method),
        )
        for methods in ROOMS.values()
        for method in methods
    ]
    return table(("method", "access", "origin", "what it does"), rows)


def methods() -> str:
    """Every method with parameters and result."""
    described = told()
    return "\n".join(
        f"### {room}.sock\n\n" + "\n".join(_method(method, described[method.name]) for method in rows)
        for room, rows in ROOMS.items()
    )


def errors() -> str:
    """The eight errors."""
    rows = [(str(kind.code), f"`{kind.name}`", (kind.__doc__ or "").rstrip(".")) for kind in ERRORS]
    return table(("code", "name", "meaning"), rows)


def _method(method: Method, about: dict[str, Any]) -> str:
    parts = [
        f"#### {method.name}\n",
        f"{_sentence(method)}",
        f"Access: {_access(method)}. {_SINCE[about['since']]}\n",
    ]
    if rows := list(_parameters(method, about.get("types", {}))):
        parts.append(table(("parameter", "type", "default", "meaning"), rows))
    else:
        parts.append("No parameters.\n")
    kind = "Each frame of the stream" if about.get("stream") else "Result"
    parts.append(f"{kind}:\n\n" + table(("field", "type", "meaning"), about["result"]))
    parts += [note.strip() + "\n" for note in about.get("notes", [])]
    return "\n".join(parts)


def _access(method: Method) -> str:
    """Sessions are for operators and for tokens; those name a method, or the group that it is in."""
    room, _, name = method.name.partition(".")
    return f"operator, or token with the action `{GROUPS[name]}`" if room == "sandbox" else _ACCESS[method.access]


def _parameters(method: Method, kinds: dict[str, str]) -> Iterable[tuple[str, str, str, str]]:
    hints = get_type_hints(method.params, include_extras=True)
    for info in msgspec.structs.fields(method.params):
        if method.name.startswith("sandbox.") and info.encode_name in _SPELLINGS:
            continue
        found, description = plain(hints[info.name])
        default = "**required**" if info.required else shown(info.default)
        yield f"`{info.encode_name}`", kinds.get(info.name, noun(found)), default, description


def _sentence(method: Method) -> str:
    return method.summary[:1].upper() + method.summary[1:].rstrip(".") + "."


def manifest_keys() -> str:
    """Every key of a manifest, by section."""
    return _manifest_sections(functools.partial(table, ("key", "value", "default", "meaning")))


def _manifest_sections(listed: Callable[[Iterable[Sequence[str]]], str]) -> str:
    about = tomllib.loads((HERE / "manifest.toml").read_text(encoding="utf-8"))
    return "\n".join(
        (f"### `[{section}]`\n\n" if section != "manifest" else "") + listed(_keys(about[section], readers, kind))
        for section, (readers, kind) in SECTIONS.items()
    )


def _keys(about: Mapping[str, Any], readers: Iterable[str], kind: type[msgspec.Struct]) -> Iterable[Sequence[str]]:
    defaults = {field.name.removesuffix("_sec"): field for field in msgspec.structs.fields(kind)}
    for key in readers:
        field, (value, meaning) = defaults[key], about[key]
        span = field.name.endswith("_sec")
        yield f"`{key}`", value, "**required**" if field.required else _default(field, span), meaning


def _default(field: msgspec.structs.FieldInfo, span: bool) -> str:
    value = field.default
    if isinstance(value, msgspec.Struct | Mapping) or value in (None, "", ()):
        return ""
    if field.name == "mode":
        return f'`"{value:04o}"`'
    return f'`"{value:g}s"`' if span else shown(value)


def reserved() -> str:
    """Directives that a manifest may not write."""
    return table(("section", "directive", "instead"), reserved_rows())


def reserved_rows() -> Iterable[tuple[str, str, str]]:
    """Section, directive and what to say instead."""
    for section, names in contract.RESERVED.items():
        for name, why in names.items():
            yield f"`{section}`", f"`{name}`", why


def settings_keys() -> str:
    """Every key of strata.toml."""
    return table(("key", "value", "default", "meaning"), settings_rows())


def settings_rows() -> Iterable[Sequence[str]]:
    """Key, kind of value, default and meaning of every setting."""
    about = tomllib.loads((HERE / "manifest.toml").read_text(encoding="utf-8"))["settings"]
    for key, default in setting_defaults().items():
        yield f"`{key}`", about[key][0], _set_by_default(default), about[key][1]


def _set_by_default(value: Any) -> str:
    return shown(value) if isinstance(value, bool) or value else ""


def setting_defaults() -> dict[str, Any]:
    """Dotted key of strata.toml to its default."""
    return dict(_leaves("", config.Settings()))


def _leaves(key: str, value: Any) -> Iterable[tuple[str, Any]]:
    """Every setting below a key; what people name themselves (templates) stands under NAME."""
    inner = {**msgspec.structs.asdict(value)} if isinstance(value, msgspec.Struct) else None
    if key == "sandbox.templates":
        inner = {"NAME": config.TemplateSettings()}
    if inner is None:
        yield key, value
        return
    for name, below in inner.items():
        yield from _leaves(f"{key}.{name}".lstrip("."), below)


def variables() -> str:
    """The variables that override strata.toml."""
    return table(("variable", "key"), variable_rows())


def variable_rows() -> Iterable[tuple[str, str]]:
    """Variable, and the key that it overrides."""
    return ((f"`{name}`", f"`{key}`") for name, (key, _) in config.VARIABLES.items())


def limits() -> str:
    """Every bound, its value and its tests."""
    rows = tomllib.loads((HERE / "limits.toml").read_text(encoding="utf-8"))["limit"]
    return table(
        ("what", "bound", "then", "test"),
        [(row["what"], _bound(row), row["then"], ", ".join(f"`{test}`" for test in row["tests"])) for row in rows],
    )


_BY = {"inside": "a program inside", "holder": "a token's holder", "stranger": "anybody here", "client": "a client"}
"""Who makes an attempt; docs/attempts.toml says more of each."""


def tried() -> dict[str, list[dict[str, Any]]]:
    """attempts.toml: what was tried, and what others have published."""
    return tomllib.loads((HERE / "attempts.toml").read_text(encoding="utf-8"))


def attempts() -> str:
    """Every attempt with its result and its tests."""
    return table(
        ("id", "who", "attempt", "what stops it", "result", "test"),
        [
            (row["id"], _BY[row["by"]], row["what"], row["stops"], row["result"], _tests(row))
            for row in tried()["attempt"]
        ],
    )


def incidents() -> str:
    """Every published incident and what it means here."""
    return table(("published", "here", "test"), [(row["what"], row["how"], _tests(row)) for row in tried()["incident"]])


def _tests(row: Mapping[str, Any]) -> str:
    return ", ".join(f"`{test}`" for test in row["tests"])


def _bound(row: Mapping[str, Any]) -> str:
    if "text" in row:
        return str(row["text"])
    module, _, path = row["value"].partition(":")
    first, _, rest = path.partition(".")
    found = getattr(importlib.import_module(module), first)
    if isinstance(found, type):
        found = found()
    found = operator.attrgetter(rest)(found) if rest else found
    return (
        f"{found:g} {row.get('unit', '')}".strip()
        if isinstance(found, float)
        else f"{found} {row.get('unit', '')}".strip()
    )


SECTIONS: dict[str, tuple[Iterable[str], type[msgspec.Struct]]] = {
    "manifest": (manifest._MANIFEST, model.Manifest),
    "socket": (manifest._SOCKET, model.Socket),
    "health": (manifest._HEALTH, model.Health),
    "restart": (manifest._RESTART, model.Restart),
    "limits": (manifest._LIMITS, model.Limits),
}

GENERATORS: dict[str, Callable[[], str]] = {
    make.__name__: make
    for make in (
        *(overview, methods, errors, manifest_keys, reserved, settings_keys, variables, limits),
        *(attempts, incidents, exposure),
        *(door_errors, http_routes, http_parameters),
    )
}


MANUAL: dict[str, Callable[[], str]] = {
    "commands": lambda: manual.commands(verbs.root, verbs.PROGRAM),
    "options": lambda: manual.options(verbs.root, verbs.PROGRAM),
    "program_commands": lambda: manual.commands(program.root, program.PROGRAM),
    "program_options": lambda: manual.options(program.root, program.PROGRAM),
    "manifest_keys": lambda: _manifest_sections(manual.definitions),
    "settings_keys": lambda: manual.definitions(settings_rows()),
    "reserved": lambda: manual.pairs(
        (f"{name} in [unit.{section.strip('`')}]", why) for section, name, why in reserved_rows()
    ),
    "variables": lambda: manual.pairs((name, f"overrides {key}") for name, key in variable_rows()),
}


def generated(text: str) -> str:
    """The document with every generated block as it must be now."""
    return _BLOCK.sub(lambda found: found[1] + GENERATORS[found[2]]() + found[3], text)


def files() -> dict[Path, str]:
    """Every file that is written here, in part or as a whole, with the text that it must have now."""
    pages = {file: generated(file.read_text(encoding="utf-8")) for file in sorted(HERE.glob("*.md"))}
    manuals = {PACKAGE / "man" / name: text for name, text in manual.pages(MANUAL).items()}
    scripts = {PACKAGE / "completion" / name: completion.script(shell) for shell, name in completion.FILES.items()}
    return pages | manuals | scripts


def main(argv: Sequence[str]) -> int:
    """Rewrite every file, or with --check only say which are stale; the exit code."""
    stale = 0
    for file, fresh in files().items():
        if file.exists() and file.read_text(encoding="utf-8") == fresh:
            continue
        stale += 1
        if "--check" not in argv:
            file.write_text(fresh, encoding="utf-8")
        home = PACKAGE.parent if file.is_relative_to(PACKAGE) else HERE.parent
        print(f"{'stale' if '--check' in argv else 'written'}: {file.relative_to(home)}")
    return 1 if stale and "--check" in argv else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
