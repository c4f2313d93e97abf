# SPDX-License-Identifier: MIT
"""The tools that models are given: one row each, what it takes, what it does, and what it says."""

from __future__ import annotations

import base64
import binascii
import codecs
import os
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple, TypeAlias

from mcp_types import CallToolResult, TextContent, Tool, ToolAnnotations

from strata.api import mcp_inputs as inputs
from strata.api import mcp_sizes
from strata.errors import InvalidArgument, StrataError

Ask: TypeAlias = Callable[..., Awaitable[Any]]
"""A call to the room with the caller's token: method, parameters, descriptors."""

EMPTY = "(empty output)"


class Row(NamedTuple):
    """`run(ask, ids, given)`; `reads` says that it changes nothing, `destroys` that it may take something away."""

    title: str
    description: str
    input: type[inputs.Input]
    run: Callable[[Ask, dict[str, str], Any], Awaitable[CallToolResult]]
    reads: bool = False
    destroys: bool = False
    repeatable: bool = False
    output: type[inputs.CommandOutput] | None = None


def said(*texts: str, structured: Any = None, wrong: bool = False) -> CallToolResult:
    """A result; `wrong` marks it as a failure for the model to see."""
    blocks = [TextContent(type="text", text=text) for text in texts if text]
    return CallToolResult(content=list(blocks), structured_content=structured, is_error=wrong)


def refused(error: StrataError) -> CallToolResult:
    """What the model is told of an error, for it to do better."""
    return said(error.message, structured={"error": error.name, "code": error.code}, wrong=True)


# --- commands


async def _exec(ask: Ask, ids: dict[str, str], given: inputs.Exec) -> CallToolResult:
    result = await ask("sandbox.exec", ids | inputs.params(given, "command", "timeout_ms", "stdin"))
    return _ended(result, result.get("output", ""))


async def _run(ask: Ask, ids: dict[str, str], given: inputs.Run) -> CallToolResult:
    result = await ask("sandbox.run", ids | inputs.params(given, "argv", "cwd", "env", "stdin", "timeout_ms"))
    stderr = result.get("stderr", "")
    return _ended(result, result.get("stdout", ""), f"[stderr]\n{stderr}" if stderr else "")


def _ended(result: dict[str, Any], output: str, *more: str) -> CallToolResult:
    structured = {"output": "", "ended": "exit", "exit_code": None} | result
    structured, texts = mcp_sizes.command(structured, (output or EMPTY, *more))
    wrong = structured["ended"] not in ("exit", "signal")
    return said(*texts, "\n".join(_notes(structured)), structured=structured, wrong=wrong)


_SHELLS = {
    "restarted": "the shell had to be started anew",
    "ended": "the shell has ended and the next command gets a new one",
}


def _notes(result: Mapping[str, Any]) -> list[str]:
    """What the output alone does not tell."""
    notes = []
    if result.get("truncated"):
        notes.append("[truncated: there was more output; only its beginning is shown]")
    if result["ended"] == "exit" and result["exit_code"]:
        notes.append(f"[exit code {result['exit_code']}]")
    elif result["ended"] != "exit":
        notes.append(f"[{_why(result)}, after {result.get('elapsed', 'a while')}]")
    if lost := _SHELLS.get(result.get("shell", "")):
        notes.append(f"[{lost}: its directory and variables are lost, files are kept]")
    return notes


def _why(result: Mapping[str, Any]) -> str:
    reasons = {
        "signal": f"ended by signal {result.get('signal')}",
        "timeout": "command timeout: it was killed with all it started",
        "oom": "killed: it used more memory than the session may",
        "cancelled": "cancelled",
    }
    return reasons.get(result["ended"], str(result["ended"]))


# --- files


async def _write_file(ask: Ask, ids: dict[str, str], given: inputs.WriteFile) -> CallToolResult:
    content = _content(given)
    with _memory(content) as file:
        known = {"size": len(content)}
        result = await ask("sandbox.put", ids | known | inputs.params(given, "path", "mode"), [file.fileno()])
    return said(f"wrote {result['size']} bytes to {result['path']}", structured=result)


def _memory(content: bytes = b"") -> BinaryIO:
    """A file in memory (memfd_create(2)): a frame to the room holds less than a file may."""
    file = open(os.memfd_create("mcp"), "w+b")  # noqa: SIM115  the caller closes it
    file.write(content)
    file.seek(0)
    return file


def _content(given: inputs.WriteFile) -> bytes:
    if given.encoding == "utf-8":
        return given.content.encode()
    try:
        return base64.b64decode(given.content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument(f"cannot write {given.path}: the content is not base64: {error}") from error


async def _read_file(ask: Ask, ids: dict[str, str], given: inputs.ReadFile) -> CallToolResult:
    with _memory() as file:
        result = await ask("sandbox.get", ids | inputs.params(given, "path", "offset", "size"), [file.fileno()])
        file.seek(0)
        content = file.read(given.size)
    eof = bool(result.get("eof", True))
    text = _text(content, eof)
    # A character that is cut at the end is left for the next call; so is what no client would take.
    whole = mcp_sizes.raw(content) if text is None else (shown := mcp_sizes.text(text)).encode()
    structured = result | {
        "offset": given.offset,
        "size": len(whole),
        "eof": eof and whole == content,
        "encoding": "base64" if text is None else "utf-8",
    }
    rest = "" if structured["eof"] else f"[more follows: go on at offset {given.offset + len(whole)}]"
    if text is None:
        return said("[not text; base64 follows]", base64.b64encode(whole).decode(), rest, structured=structured)
    return said(shown or "(empty file)", rest, structured=structured)


def _text(content: bytes, last: bool) -> str | None:
    """None for what is no text. All but the last piece of a text may end within a character."""
    if b"\0" in content:
        return None
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(content, last)
    except UnicodeDecodeError:
        return None
    return text if text or not content else None  # less than a character would never get on


async def _list_files(ask: Ask, ids: dict[str, str], given: inputs.ListFiles) -> CallToolResult:
    result = await ask("sandbox.files", ids | inputs.params(given, "path"))
    entries = mcp_sizes.entries(result["entries"])
    lines = [_line(entry) for entry in entries]
    cut = result.get("next") or len(entries) < len(result["entries"])
    more = "[the directory has more entries than are shown]" if cut else ""
    return said("\n".join(lines) or "(empty directory)", more, structured=result | {"entries": entries})


def _line(entry: Mapping[str, Any]) -> str:
    mark = "/" if entry.get("kind") == "directory" else f" -> {entry['target']}" if entry.get("target") else ""
    return f"{entry.get('mode', ''):>5} {entry.get('size', 0):>10}  {entry['name']}{mark}"


# --- sessions


async def _create_session(ask: Ask, ids: dict[str, str], given: inputs.CreateSession) -> CallToolResult:
    result = await ask("sandbox.create", ids | inputs.params(given, "template", "network", "ttl", "env", "labels"))
    how = "is open" if result.get("created") else "was open already"
    return said(f"session {result['owner']}/{result['session']} {how}", structured=result)


async def _close_session(ask: Ask, ids: dict[str, str], given: inputs.Addressed) -> CallToolResult:
    result = await ask("sandbox.close", ids)
    return said("closed: its processes and files are gone", structured=result)


async def _stats(ask: Ask, ids: dict[str, str], given: inputs.Input) -> CallToolResult:
    result = await ask("sandbox.stats", {})
    return said(f"{result['active_sessions']} of {result['max_sessions']} sessions are open", structured=result)


TOOLS: Mapping[str, Row] = MappingProxyType(
    {
        "exec": Row(
            "Run a shell command",
            "Run a command line in the session's own bash, as root of an isolated Linux sandbox, and return what it "
            "wrote. The directory, variables and functions it leaves behind are there for the next exec; files are "
            "kept until the session closes. A session that is not there is opened. The sandbox has no network unless "
            "the session was created with one. A command that needs longer than timeout_ms is killed: give it more, "
            "or let it run on with & and look again later.",
            inputs.Exec,
            _exec,
            destroys=True,
            output=inputs.CommandOutput,
        ),
        "run": Row(
            "Run a program",
            "Run one program with exact arguments, without a shell: no quoting, no variables, no pipes. It starts in "
            "`cwd` and leaves no state behind but files. Returns its output and exit code. A session that is not "
            "there is opened.",
            inputs.Run,
            _run,
            destroys=True,
            output=inputs.CommandOutput,
        ),
        "write_file": Row(
            "Write a file",
            "Write a file of the session, replacing it if it is there. It appears whole or not at all.",
            inputs.WriteFile,
            _write_file,
            destroys=True,
            repeatable=True,
        ),
        "read_file": Row(
            "Read a file",
            "Read a file of the session, or a part of it. What is not UTF-8 text is returned as base64.",
            inputs.ReadFile,
            _read_file,
            reads=True,
        ),
        "list_files": Row(
            "List a directory",
            "List what a directory of the session holds: mode, size in bytes, name; directories end in /.",
            inputs.ListFiles,
            _list_files,
            reads=True,
        ),
        "create_session": Row(
            "Open a session",
            "Open a sandbox with options of its own. Not needed for the usual ones: exec, run and write_file open a "
            "session that is not there. One that is there is left as it is.",
            inputs.CreateSession,
            _create_session,
            repeatable=True,
        ),
        "close_session": Row(
            "Close a session",
            "End everything that runs in the session and delete its files. This cannot be undone.",
            inputs.Addressed,
            _close_session,
            destroys=True,
        ),
        "stats": Row("Count sessions", "How many sessions are open on this server, and how many may be.", inputs.Input,
                     _stats, reads=True),
    }
)  # fmt: skip


def listed() -> list[Tool]:
    """As tools/list tells them."""
    return [_tool(name, row) for name, row in TOOLS.items()]


def _tool(name: str, row: Row) -> Tool:
    hints = ToolAnnotations(
        title=row.title,
        read_only_hint=row.reads,
        destructive_hint=row.destroys,
        idempotent_hint=row.reads or row.repeatable,
        open_world_hint=False,
    )
    return Tool(
        name=name,
        title=row.title,
        description=row.description,
        input_schema=inputs.schema(row.input),
        output_schema=inputs.schema(row.output) if row.output else None,
        annotations=hints,
    )
