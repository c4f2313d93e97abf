# SPDX-License-Identifier: MIT
"""What the tools take: each struct is the JSON schema that models are shown, and the parser of what they send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from strata.errors import InvalidArgument

Words: TypeAlias = dict[str, str]


class Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No arguments."""


class Addressed(Input, frozen=True, kw_only=True):
    """A tool on one session."""

    owner_id: (
        Annotated[str, Meta(description="Whose sandbox. The header X-Owner-Id, when sent, counts instead.")] | UnsetType
    ) = UNSET
    session_id: (
        Annotated[
            str,
            Meta(
                description="Which of the owner's sandboxes; any new name opens a new one. The header X-Session-Id, "
                "when sent, counts instead."
            ),
        ]
        | UnsetType
    ) = UNSET


class Exec(Addressed, frozen=True, kw_only=True):
    command: Annotated[str, Meta(description="Command line for bash; may have several lines.")]
    timeout_ms: Annotated[
        int, Meta(description="Milliseconds after which the command and all it started is killed. 0: the default.")
    ] = 30_000
    stdin: Annotated[str, Meta(description="Standard input; empty if left out.")] | UnsetType = UNSET


class Run(Addressed, frozen=True, kw_only=True):
    argv: Annotated[
        tuple[str, ...], Meta(description='Program and arguments, such as ["python3", "-c", "print(1)"].', min_length=1)
    ]
    cwd: Annotated[str, Meta(description="Directory to run in; /root if left out.")] | UnsetType = UNSET
    env: Annotated[Words, Meta(description="Environment variables beside the session's.")] | UnsetType = UNSET
    stdin: Annotated[str, Meta(description="Standard input; empty if left out.")] | UnsetType = UNSET
    timeout_ms: Annotated[
        int, Meta(description="Milliseconds after which the program and all it started is killed.", ge=1)
    ] = 120_000


class WriteFile(Addressed, frozen=True, kw_only=True):
    path: Annotated[str, Meta(description="Where; relative paths start at /root. Its directory must be there.")]
    content: Annotated[str, Meta(description="The whole new content.")]
    encoding: Annotated[
        Literal["utf-8", "base64"], Meta(description="How `content` is written: as text, or base64 for any bytes.")
    ] = "utf-8"
    mode: Annotated[str, Meta(description="Permission bits in octal, such as 0755.")] | UnsetType = UNSET


class ReadFile(Addressed, frozen=True, kw_only=True):
    path: Annotated[str, Meta(description="Which file; relative paths start at /root.")]
    offset: Annotated[int, Meta(description="First byte to read.", ge=0)] = 0
    size: Annotated[int, Meta(description="How many bytes to read at most.", ge=1, le=1_048_576)] = 262_144


class ListFiles(Addressed, frozen=True, kw_only=True):
    path: Annotated[str, Meta(description="Which directory; relative paths start at /root.")] = "/root"


class CreateSession(Addressed, frozen=True, kw_only=True):
    template: Annotated[str, Meta(description="Name of a template of the server.")] | UnsetType = UNSET
    network: (
        Annotated[Literal["isolated", "host"], Meta(description="Whether it has a network; isolated by default.")]
        | UnsetType
    ) = UNSET
    ttl: Annotated[str, Meta(description="Closed when idle for so long, such as 30m.")] | UnsetType = UNSET
    env: Annotated[Words, Meta(description="Environment of every command.")] | UnsetType = UNSET
    labels: Annotated[Words, Meta(description="Free words to find it by.")] | UnsetType = UNSET


class CommandOutput(msgspec.Struct, kw_only=True):
    """What exec and run answer as structured content. Left out: what is not known."""

    output: Annotated[str, Meta(description="stdout and stderr as they came")]
    ended: Annotated[str, Meta(description="exit, signal, timeout, oom or cancelled")]
    exit_code: Annotated[int | None, Meta(description="null when it did not exit by itself")]
    stdout: str | UnsetType = UNSET
    stderr: str | UnsetType = UNSET
    truncated: Annotated[bool, Meta(description="there was more output than is kept")] | UnsetType = UNSET
    elapsed: Annotated[str, Meta(description="such as 12ms")] | UnsetType = UNSET
    cwd: str | UnsetType = UNSET


_ALIASES = {"uid": "owner_id", "sid": "session_id"}  # the predecessor's other spellings (spec 2.3)


_MAY_BE_EMPTY = frozenset({"content"})


def schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON schema of a struct, as a tool's."""
    _, components = msgspec.json.schema_components((kind,))
    found: dict[str, Any] = components[kind.__name__]
    return {name: value for name, value in found.items() if name not in ("title", "description")}


def read(kind: type[msgspec.Struct], arguments: Mapping[str, Any] | None) -> Any:
    """The arguments of a call as `kind`; null counts as left out. Raises InvalidArgument, in a model's words."""
    given = {_ALIASES.get(name, name): value for name, value in (arguments or {}).items() if value is not None}
    for field in msgspec.structs.fields(kind):
        if field.required and field.name not in _MAY_BE_EMPTY and given.get(field.name) in (None, "", []):
            raise InvalidArgument(f"{field.name} is required", param=field.name)
    given = {name: _whole(value) for name, value in given.items()}
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"cannot use the arguments: {error}") from error


def _whole(value: Any) -> Any:
    """JSON has one kind of number; 5000.0 is one way to write 5000."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def params(given: Any, *names: str) -> dict[str, Any]:
    """The fields that were given, by name, for the room."""
    found = {name: getattr(given, name) for name in names}
    return {name: value for name, value in found.items() if value is not UNSET}
