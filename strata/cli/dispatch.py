# SPDX-License-Identifier: MIT
"""Raw form or verb: decided by argv alone, so that a raw call, or a command in a sandbox, pays for no verbs' imports.

What goes wrong becomes one sentence on stderr and exit code 1 here, whichever form it was. STRATA_DEBUG=1 shows the
traceback instead.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence

from strata.cli.foreign import shown
from strata.cli.shell import BROKEN_PIPE, COMPLETE_VARIABLE, INTERRUPTED
from strata.errors import StrataError

PROMPT = ("run", "exec")
"""Verbs that do without click, each a module of that name: a command should start as fast as a call."""

_VERB_FLAGS = ("-h", "--help", "--version")


def is_raw(argv: Sequence[str]) -> bool:
    """Whether these arguments are the predecessor's form: `[-token TOKEN] METHOD [PARAMS]` (spec 1.12).

    Methods have a dot and verbs have none, so the two never collide.
    """
    if not argv:
        return True
    first = argv[0]
    return first not in _VERB_FLAGS and (first.startswith("-") or "." in first or not first)


def run(argv: Sequence[str]) -> int:
    """Run one command line and return the exit code; nothing is raised."""
    return told(_form, argv)


def told(form: Callable[[Sequence[str]], int], argv: Sequence[str]) -> int:
    """The exit code of `form(argv)`; whatever it raises is told in a sentence instead."""
    if os.environ.get("STRATA_DEBUG") == "1":
        return form(argv)
    try:
        code = form(argv)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return BROKEN_PIPE
    except StrataError as error:
        return _fail(error.message)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return _fail(f"cannot finish: {error.strerror or error}{where}")
    except Exception as error:  # noqa: BLE001  a person gets a sentence; STRATA_DEBUG=1 gives a developer the rest
        return _fail(f"cannot finish: {type(error).__name__}: {error}; STRATA_DEBUG=1 shows where")
    return code


def _form(argv: Sequence[str]) -> int:
    if COMPLETE_VARIABLE not in os.environ:
        if is_raw(argv):
            from strata.cli import raw

            return raw.run(argv)
        if argv[0] in PROMPT and not _wants_help(argv[1:]):
            return _prompt(argv)
    from strata.cli import verbs

    return verbs.run(argv)


def _wants_help(argv: Sequence[str]) -> bool:
    """Whether a help flag stands among the options; what comes after `--` is the command's."""
    own = argv[: argv.index("--")] if "--" in argv else argv
    return "-h" in own or "--help" in own


def _prompt(argv: Sequence[str]) -> int:
    """A verb whose exit code is a command's: what goes wrong here must not look like the command's own failure."""
    from strata.cli import outcome

    try:
        code: int = importlib.import_module(f"strata.cli.{argv[0]}").main(argv[1:])
    except StrataError as error:
        _fail(error.message)
        return outcome.FAILED
    return code


def _fail(sentence: str) -> int:
    sys.stderr.write(f"error: {shown(sentence)}\n")
    return 1


def _forget_stdout() -> None:
    """What is still buffered has no reader: without this the interpreter would complain about it at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
