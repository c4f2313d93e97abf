# SPDX-License-Identifier: MIT
"""Between protobuf messages and the JSON of the room: the same names on both sides, so no method needs a mapping of
its own. `bytes` fields are text in the room's JSON, or NAME_b64 where they are not UTF-8.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from google.protobuf import json_format, struct_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from strata.errors import Internal

M = TypeVar("M", bound=Message)

# Fields whose names could not be the room's: `from` and `to` are the room's, and `from` is a keyword in many languages.
RENAMED = {"from_path": "from", "to_path": "to", "from_path_b64": "from_b64", "to_path_b64": "to_b64"}

_NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32: int,
    FieldDescriptor.CPPTYPE_INT64: int,
    FieldDescriptor.CPPTYPE_UINT32: int,
    FieldDescriptor.CPPTYPE_UINT64: int,
    FieldDescriptor.CPPTYPE_DOUBLE: float,
    FieldDescriptor.CPPTYPE_FLOAT: float,
    FieldDescriptor.CPPTYPE_BOOL: bool,
}


def params_of(message: Message) -> dict[str, Any]:
    """The parameters that a request carries; fields that were not set are left out, for the room's own defaults."""
    params: dict[str, Any] = {}
    for field, value in message.ListFields():
        name = RENAMED.get(field.name, field.name)
        if field.type == FieldDescriptor.TYPE_BYTES:
            params |= _text_or_base64(name, value)
        elif name == "mode":
            params[name] = f"{value:04o}"
        else:
            params[name] = _plain(field, value)
    return params


def _text_or_base64(name: str, value: bytes) -> dict[str, str]:
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_b64": base64.b64encode(value).decode()}


def _plain(field: FieldDescriptor, value: Any) -> Any:
    if _is_map(field):
        return dict(value)
    if field.is_repeated:
        return list(value)
    return params_of(value) if field.type == FieldDescriptor.TYPE_MESSAGE else value


def filled(kind: type[M], result: Any) -> M:
    """A reply made of what the room answered; what has no field of its own goes into `detail`, where there is one.

    Raises Internal when a value does not fit its field.
    """
    message = kind()
    _set_message(message, result if isinstance(result, Mapping) else {})
    return message


def fill(message: Message, result: Mapping[str, Any]) -> None:
    """Set the fields of `message` from `result`. Raises Internal."""
    fields = message.DESCRIPTOR.fields_by_name
    for name, field in fields.items():
        if field.type == FieldDescriptor.TYPE_BYTES:
            _set_bytes(message, name, result)
        elif name != "detail" and (value := result.get(RENAMED.get(name, name))) is not None:
            _set(message, cast(FieldDescriptor, field), value)
    if "detail" in fields:
        _set_struct(message.detail, {name: value for name, value in result.items() if name not in fields})  # type: ignore[attr-defined]


def _set_bytes(message: Message, name: str, result: Mapping[str, Any]) -> None:
    if (encoded := result.get(f"{name}_b64")) is not None:
        setattr(message, name, base64.b64decode(encoded))
    elif isinstance(text := result.get(name), str):
        setattr(message, name, text.encode())


def _set(message: Message, field: FieldDescriptor, value: Any) -> None:
    try:
        if _is_map(field):
            getattr(message, field.name).update({key: str(item) for key, item in value.items()})
        elif field.is_repeated:
            for item in value:
                _add(getattr(message, field.name), field, item)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            _set_message(getattr(message, field.name), value)
        else:
            setattr(message, field.name, _scalar(field, value))
    except (TypeError, ValueError, AttributeError) as error:
        raise Internal(f"cannot answer: {field.full_name} cannot hold what the room said: {error}") from error


def _add(items: Any, field: FieldDescriptor, item: Any) -> None:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        _set_message(items.add(), item)
    else:
        items.append(_scalar(field, item))


def _set_message(message: Message, value: Mapping[str, Any]) -> None:
    message.SetInParent()
    if isinstance(message, struct_pb2.Struct):
        _set_struct(message, value)
    else:
        fill(message, value)


def _set_struct(struct: struct_pb2.Struct, value: Mapping[str, Any]) -> None:
    json_format.ParseDict(dict(value), struct)


def _scalar(field: FieldDescriptor, value: Any) -> Any:
    if field.name == "mode" and isinstance(value, str):
        return int(value, 8)
    if field.cpp_type in _NUMBERS:
        return _NUMBERS[field.cpp_type](value)
    # Names of files come from whoever wrote them; protobuf's strings are Unicode without halves of pairs.
    return str(value).encode("utf-8", "replace").decode()


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry
