# SPDX-License-Identifier: MIT
"""Work on a session's files: one function of the WORKS table, run in a process of its own, answered in JSON lines.

In a session (with a pidfd) the process joins its namespaces first, all but that of processes: the sandbox's / is its /,
so no path and no link leads out, and it may do what root inside may, under the same filter. Without one it stays
outside, in a mount namespace of its own, for work on layers.

Answers: {"item": …} for each part of a stream, then {"result": …} or {"error": …}.
"""

from __future__ import annotations

import json
import os
import signal
from typing import Any, NoReturn

from strata.errors import Internal, StrataError
from strata.sandbox.launcher import joining, kernel
from strata.sandbox.launcher.works import WORKS


def run(plan: dict[str, Any], fds: list[int], program: bytes) -> NoReturn:
    """Be the worker; never returns. `fds`: where to answer, then the session's pidfd if it is for one, then the
    caller's. `program` is the seccomp filter."""
    reply = fds[0]
    try:
        _answer(reply, _work(plan, reply, fds[1:], program))
    except BrokenPipeError:
        pass  # whoever asked has gone
    except StrataError as error:
        _answer(reply, {"error": {"code": error.code, "message": error.message, "details": error.details}})
    except OSError as error:
        details = {"errno": error.errno, "path": str(error.filename or "")}
        _answer(reply, {"error": {"code": 0, "message": str(error.strerror or error), "details": details}})
    except Exception as error:  # noqa: BLE001  the room logs it and tells its caller that it is our fault
        _answer(reply, {"error": {"code": Internal.code, "message": f"{type(error).__name__}: {error}", "details": {}}})
    finally:
        os._exit(0)


def _work(plan: dict[str, Any], reply: int, fds: list[int], program: bytes) -> dict[str, Any]:
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    joining.join_cgroups(groups := joining.open_cgroups(plan["keepers"]))
    for fd in groups:
        os.close(fd)
    if plan["inside"]:
        joining.enter(fds.pop(0), joining.namespaces(plan["network"]) & ~kernel.NEWPID)
        joining.give_up()
        kernel.install_seccomp(program)
        os.chdir("/")
    else:
        kernel.set_dumpable(False)
        kernel.unshare(kernel.NEWNS)
        kernel.make_private()
    os.umask(0o022)
    outcome = WORKS[plan["work"]](plan["arguments"], fds)
    if isinstance(outcome, dict):
        return {"result": outcome}
    for item in outcome:
        _answer(reply, {"item": item})
    return {"result": {}}


def _answer(reply: int, message: dict[str, Any]) -> None:
    data = json.dumps(message, separators=(",", ":")).encode("utf-8", "surrogateescape") + b"\n"
    while data:
        data = data[os.write(reply, data) :]
