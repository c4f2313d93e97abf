# SPDX-License-Identifier: MIT
"""What is shared by the makers of the documents: tables, and how types and defaults are written."""

from __future__ import annotations

import json
import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

_NOUNS: dict[Any, str] = {
    str: "string",
    int: "number",
    float: "number",
    bool: "true or false",
    tuple[str, ...]: "list of strings",
    list[str]: "list of strings",
    dict[str, str]: "object of strings",
    dict[str, Any]: "object",
    Any: "value",
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def plain(hint: Any) -> tuple[Any, str]:
    """The bare type under Annotated[...] and `| None`, and the description of its Meta."""
    if get_origin(hint) is Annotated:
        inner, meta = get_args(hint)[:2]
        return plain(inner)[0], meta.description
    if get_origin(hint) in (Union, types.UnionType):
        return plain(next(arg for arg in get_args(hint) if arg is not type(None)))
    return hint, ""


def shown(default: Any) -> str:
    """A default value in code, as TOML and JSON have it; nothing for none."""
    if default in (None, "", msgspec.NODEFAULT):
        return ""
    if isinstance(default, tuple) and default:
        return f"`{json.dumps(default)}`"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def anchor(name: str) -> str:
    """The part of a link that leads to a heading."""
    return name.lower().replace(".", "")


def noun(kind: Any) -> str:
    """A type, as a person calls it."""
    if get_origin(kind) is Literal:
        return ", ".join(f"`{word}`" for word in get_args(kind))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return "object"
    return _NOUNS[kind]
