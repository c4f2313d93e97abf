# SPDX-License-Identifier: MIT
"""The argument vector of bubblewrap, which makes the namespaces, drops everything and starts the payload (bwrap(1)).

The payload is process 1 of the session: a shell that says that all is ready and then waits for ever for what nobody
writes, a pipe of which it holds both ends. It outlives Strata, no signal from inside can end it, and children that
lost their parents are reaped by the kernel, because it ignores SIGCHLD (sigaction(2), NOTES).
"""

from __future__ import annotations

import errno

from strata import programs
from strata.sandbox.layers.plan import Root

HOSTNAME = "strata"
# No --unshare-user: the caller is in the session's user namespace. No --die-with-parent: a session outlives Strata.
_ALWAYS = (
    *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup", "--hostname", HOSTNAME),
    *("--as-pid-1", "--new-session", "--cap-drop", "ALL", "--clearenv"),
)
# Standard input and output are the two ends of one pipe; standard error is where to say that all is ready, as it is for
# bubblewrap's complaints. (Other numbers would not do: to a small shell a descriptor has one digit.)
_PAYLOAD = "trap '' CHLD; printf 1 >&2; exec 2>/dev/null; while :; do read -r _; done"


def arguments(root: Root, *, network: str, info_fd: int, seccomp_fd: int | None = None) -> list[str]:
    """The whole vector. `network`: isolated or host. A 1 comes on standard error when the payload runs.

    No variable of a session is in it: everybody on the host may read the arguments of a process.
    """
    words = [program(), *_ALWAYS, *(("--unshare-net",) if network != "host" else ())]
    words += ["--dev-bind", root.path, "/", "--proc", "/proc", *root.arguments, "--chdir", "/root"]
    if seccomp_fd is not None:
        words += ["--seccomp", str(seccomp_fd)]
    words += ["--info-fd", str(info_fd), "--", root.small_shell, "-c", _PAYLOAD]
    return words


def program() -> str:
    """Path of bubblewrap. Raises FileNotFoundError, saying that it is required."""
    if path := programs.find("bwrap"):
        return path
    raise FileNotFoundError(errno.ENOENT, f"bwrap is required: {programs.install('bubblewrap')}")
