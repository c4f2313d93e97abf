# SPDX-License-Identifier: MIT
"""Parameters of a call: a JSON object becomes a typed frozen value, by the reference's rules (spec 1.7).

A required parameter that is absent or of the wrong type is `missing X param`; numbers may be floats and are truncated;
unknown parameters are ignored. An optional parameter of the wrong type is refused, never silently dropped.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from strata.errors import InvalidArgument

P = TypeVar("P", bound=msgspec.Struct)
_WRONG = object()
_INT64 = 2**63


def read(kind: type[P], raw: Mapping[str, Any] | None) -> P:
    """Build `kind` from the params of a request. Raises InvalidArgument naming the first parameter at fault."""
    fields = _fields(kind)
    if not fields:
        return kind()
    raw = raw or {}
    values = {}
    for field in fields:
        given = raw.get(field.name)
        value = _WRONG if given is None else field.accept(given)
        if value is not _WRONG:
            values[field.attribute] = value
        elif given is not None or field.required:
            raise field.refusal()
    return kind(**values)


class _Field:
    __slots__ = ("accept", "attribute", "name", "noun", "required")

    def __init__(self, info: msgspec.structs.FieldInfo, noun: str, accept: Callable[[Any], Any]) -> None:
        self.name, self.attribute = info.encode_name, info.name  # `from` cannot be an attribute's name
        self.required, self.noun, self.accept = info.required, noun, accept

    def refusal(self) -> InvalidArgument:
        """What is said of a value that was not accepted, or not there."""
        says = f"missing {self.name} param" if self.required else f"{self.name} must be {self.noun}"
        return InvalidArgument(says, param=self.name, expected=self.noun)


def _text(value: Any) -> Any:
    return value if isinstance(value, str) and value else _WRONG


def _optional_text(value: Any) -> Any:
    return value if isinstance(value, str) else _WRONG


def _whole(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_INT64 <= value < _INT64:
        return _WRONG  # beyond 64 bits (and NaN) nothing downstream could keep the number
    return int(value)


def _boolean(value: Any) -> Any:
    return value if isinstance(value, bool) else _WRONG


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_INT64 <= value < _INT64:
        return _WRONG
    return float(value)


def _texts(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else _WRONG


def _object(value: Any) -> Any:
    return value if isinstance(value, dict) else _WRONG


def _object_of_texts(value: Any) -> Any:
    return value if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()) else _WRONG


ACCEPTED: dict[Any, tuple[str, Callable[[Any], Any]]] = {
    str: ("a string", _optional_text),
    int: ("a number of at most 64 bits", _whole),
    float: ("a number of at most 64 bits", _number),
    bool: ("true or false", _boolean),
    tuple[str, ...]: ("a list of strings", _texts),
    dict[str, str]: ("an object of strings", _object_of_texts),
    dict[str, Any]: ("an object", _object),
    Any: ("a value", lambda value: value),  # the handler judges it
}


@functools.cache
def _fields(kind: type[msgspec.Struct]) -> tuple[_Field, ...]:
    hints = get_type_hints(kind, include_extras=True)
    return tuple(_field(info, _plain(hints[info.name])) for info in msgspec.structs.fields(kind))


def _field(info: msgspec.structs.FieldInfo, plain: Any) -> _Field:
    noun, accept = ACCEPTED[plain]
    if info.required and plain is str:
        accept = _text  # the reference treats "" as absent for every required string
    return _Field(info, noun, accept)


def _plain(hint: Any) -> Any:
    """The bare type under Annotated[...] and `| None`."""
    if get_origin(hint) is Annotated:
        return _plain(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return _plain(next(arg for arg in get_args(hint) if arg is not type(None)))
    return hint
