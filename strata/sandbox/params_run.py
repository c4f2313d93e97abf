# SPDX-License-Identifier: MIT
"""Parameters of the methods on runs."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from strata.sandbox.params_session import Addressed


class RunParams(Addressed, frozen=True, kw_only=True):
    """Parameters of sandbox.run."""

    argv: Annotated[tuple[str, ...], Meta(description="the program, found by PATH, and its arguments")]
    env: Annotated[dict[str, str] | None, Meta(description="added to the session's environment")] = None
    cwd: Annotated[str | None, Meta(description="directory to run in; absent: /root")] = None
    stdin: Annotated[str | None, Meta(description="what it reads; absent: nothing")] = None
    stdin_b64: Annotated[str | None, Meta(description="the same, as base64")] = None
    timeout_ms: Annotated[int | None, Meta(description="killed after so long; absent: never")] = None
    background: Annotated[bool, Meta(description="answer at once with its id")] = False
    id: Annotated[
        str | None,
        Meta(description="8 to 32 hexadecimal digits that the caller chooses, to signal what he waits for"),
    ] = None
    descriptors: Annotated[
        tuple[str, ...] | None,
        Meta(description="what the passed descriptors are, in their order: stdin, stdout, stderr"),
    ] = None


class OneRunParams(Addressed, frozen=True, kw_only=True):
    """Parameters of sandbox.kill."""

    id: Annotated[str, Meta(description="which run, as sandbox.run told")]


class SignalParams(OneRunParams, frozen=True, kw_only=True):
    """Parameters of sandbox.signal."""

    signal: Annotated[str, Meta(description="name or number: TERM, SIGINT, 9")]
    group: Annotated[bool, Meta(description="to its whole process group, not only to the program")] = False


class WaitParams(OneRunParams, frozen=True, kw_only=True):
    """Parameters of sandbox.wait."""

    wait_ms: Annotated[int, Meta(description="at most so long; absent: 30000")] = 30_000


class OutputParams(OneRunParams, frozen=True, kw_only=True):
    """Parameters of sandbox.output."""

    offset: Annotated[
        dict[str, Any] | None, Meta(description="where to begin in each stream: {stdout, stderr}; absent: 0")
    ] = None
    follow: Annotated[bool, Meta(description="go on until the program has ended")] = False
