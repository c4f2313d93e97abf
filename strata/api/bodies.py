# SPDX-License-Identifier: MIT
"""What clients send to /api/v1, typed: bodies and query strings are read into these, and OpenAPI describes them.

Names are those of the room's own parameters, so that what was read can be handed on as it is. Fields left out are not
handed on: the room knows the defaults.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

Labels: TypeAlias = Annotated[dict[str, str], Meta(description="Names and values to find the session by")]
Path: TypeAlias = Annotated[str, Meta(description="Path inside the session; a relative one starts at /root")]
Mode: TypeAlias = Annotated[str, Meta(description="Permissions in octal, such as 0644", pattern="^[0-7]{1,4}$")]
TimeoutMs: TypeAlias = Annotated[int, Meta(description="Milliseconds until the command is ended")]


class Body(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """What all have in common: an unknown name is an error, and a default is not sent."""


class Limits(Body, kw_only=True):
    memory_max: Annotated[str | int | None, Meta(description="Bytes, or a size such as 512M")] = None
    tasks_max: Annotated[int | None, Meta(description="Processes and threads")] = None
    cpu_quota: Annotated[str | None, Meta(description="Share of one processor, such as 50%")] = None
    disk_max: Annotated[str | int | None, Meta(description="Bytes, or a size such as 2G")] = None
    inodes_max: Annotated[int | None, Meta(description="Files and directories")] = None
    files_max: Annotated[int | None, Meta(description="Open files of one process")] = None


class Create(Body, kw_only=True):
    """Options of a new session."""

    template: Annotated[str | None, Meta(description="A template's name")] = None
    base: Annotated[str | None, Meta(description="A base root tree; none is the host's /usr")] = None
    network: Annotated[Literal["isolated", "host"] | None, Meta(description="isolated by default")] = None
    driver: Annotated[str | None, Meta(description="Overlay driver: auto, kernel, fuse or none")] = None
    env: Annotated[dict[str, str] | None, Meta(description="Environment of everything in the session")] = None
    labels: Labels | None = None
    limits: Annotated[Limits | None, Meta(description="What the session may use")] = None
    ttl: Annotated[str | None, Meta(description="Closed when idle for so long, such as 30m")] = None
    lifetime: Annotated[str | None, Meta(description="Ended after so long whatever it does, such as 24h")] = None
    from_snapshot: Annotated[str | None, Meta(description="Begin with the files of a snapshot")] = None


class CreateNamed(Create, kw_only=True):
    """A new session."""

    owner: Annotated[str, Meta(description="Whose session it is")]
    session: Annotated[str, Meta(description="Its name")]


class Select(Body, kw_only=True):
    """Which sessions."""

    owner: Annotated[str | None, Meta(description="Only this owner's")] = None
    state: Annotated[str | None, Meta(description="Only those in this state")] = None
    label: Annotated[list[str], Meta(description="Only those with this label, as NAME=VALUE; may be repeated")] = []


class Extend(Body, kw_only=True):
    ttl: Annotated[str | None, Meta(description="From now on closed when idle for so long")] = None
    lifetime: Annotated[str | None, Meta(description="Refused: PID 1 holds it since the session was opened")] = None


class Exec(Body, kw_only=True):
    """A command for the session's shell."""

    command: Annotated[str, Meta(description="Text for the shell, as long as you like")] = ""
    timeout_ms: TimeoutMs = 0
    stdin: Annotated[str | None, Meta(description="Text on its standard input; none is an empty one")] = None


class Run(Body, kw_only=True):
    """A program of its own."""

    argv: Annotated[list[str], Meta(description="Program and arguments")]
    env: Annotated[dict[str, str] | None, Meta(description="Added to the session's environment")] = None
    cwd: Annotated[str | None, Meta(description="Directory to start in; /root by default")] = None
    timeout_ms: TimeoutMs | None = None
    background: Annotated[bool, Meta(description="Answer at once, with the run's id")] = False
    stdin: Annotated[str | None, Meta(description="Text on its standard input")] = None
    stdin_b64: Annotated[str | None, Meta(description="Bytes on its standard input, in base64")] = None


class RunOptions(Body, kw_only=True):
    """The same, as a query string: the body is the program's standard input."""

    argv: Annotated[list[str], Meta(description="Program and arguments: repeat it")]
    env: Annotated[list[str], Meta(description="NAME=VALUE; may be repeated")] = []
    cwd: Annotated[str | None, Meta(description="Directory to start in; /root by default")] = None
    timeout_ms: TimeoutMs | None = None


class Output(Body, kw_only=True):
    stdout: Annotated[int, Meta(description="Standard output from this byte on", ge=0)] = 0
    stderr: Annotated[int, Meta(description="Standard error from this byte on", ge=0)] = 0
    follow: Annotated[bool, Meta(description="Go on until the run has ended")] = False


class Signal(Body, kw_only=True):
    signal: Annotated[str, Meta(description="TERM, INT, HUP, KILL …, or a number")]
    group: Annotated[bool, Meta(description="To its whole process group, not only to the program")] = False


class Wait(Body, kw_only=True):
    wait_ms: Annotated[int | None, Meta(description="Milliseconds to wait at most")] = None


class Attach(Body, kw_only=True):
    """Options of a terminal."""

    rows: Annotated[int, Meta(description="Height of the window", ge=1, le=65535)] | None = None
    cols: Annotated[int, Meta(description="Width of the window", ge=1, le=65535)] | None = None
    offset: Annotated[int, Meta(description="Begin with the output from this byte on", ge=0)] | None = None
    command: Annotated[str | None, Meta(description="Run this instead of the shell, when it is opened")] = None


class Resize(Body, kw_only=True):
    rows: Annotated[int, Meta(description="Height of the window", ge=1, le=65535)]
    cols: Annotated[int, Meta(description="Width of the window", ge=1, le=65535)]
    viewer: Annotated[int | None, Meta(description="Whose window, as `attached` told; none is that of all")] = None


class At(Body, kw_only=True):
    """A path."""

    path: Path | None = None
    path_b64: Annotated[str, Meta(description="The same in base64, for a name that is not UTF-8")] | None = None


class Put(At, kw_only=True):
    mode: Mode | None = None
    sha256: Annotated[str | None, Meta(description="Refuse the file when its sum is another")] = None


class Listing(At, kw_only=True):
    after: Annotated[str | None, Meta(description="The `next` of the answer before")] = None


class Mkdir(At, kw_only=True):
    mode: Mode | None = None
    parents: Annotated[bool, Meta(description="Make those above it too; one that is there is no error")] = False


class Move(Body, kw_only=True):
    from_: Annotated[str | None, Meta(description="The path as it is")] = msgspec.field(default=None, name="from")
    from_b64: Annotated[str | None, Meta(description="The same in base64")] = None
    to: Annotated[str | None, Meta(description="The path as it is to be")] = None
    to_b64: Annotated[str | None, Meta(description="The same in base64")] = None
    replace: Annotated[bool, Meta(description="False: refuse when something is there")] = True


class Remove(At, kw_only=True):
    recursive: Annotated[bool, Meta(description="A directory with all that is in it")] = False


class Watch(At, kw_only=True):
    recursive: Annotated[bool, Meta(description="What is below too")] = False


class Diff(Body, kw_only=True):
    after: Annotated[str | None, Meta(description="The `next` of the answer before")] = None


class Export(At, kw_only=True):
    """Without a path, the whole root."""

    changes: Annotated[bool, Meta(description="Only what has changed, as layers of images are written")] = False
    attributes: Annotated[bool, Meta(description="With extended attributes")] = False


class Snapshot(Body, kw_only=True):
    name: Annotated[str, Meta(description="Its name among the owner's snapshots")]


class Fork(Body, kw_only=True):
    to_session: Annotated[str, Meta(description="Name of the new session")]
    snapshot: Annotated[str | None, Meta(description="From this snapshot; none is from the session as it is")] = None
    labels: Labels | None = None
    env: Annotated[dict[str, str] | None, Meta(description="Beside what the old one has")] = None
    ttl: Annotated[str | None, Meta(description="Closed when idle for so long, such as 30m")] = None
    lifetime: Annotated[str | None, Meta(description="Ended after so long whatever it does, such as 24h")] = None
