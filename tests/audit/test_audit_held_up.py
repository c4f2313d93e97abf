# SPDX-License-Identifier: MIT
"""Attempts to have a room wait: descriptors whose close takes as long as their owner says, passed or put in the way."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
import wire
from cell import Cell, opened
from node import Node

ROOMS = ("registry", "identity", "fs", "supervisor", "sandbox")
SECONDS = 30
PROMPT_SECONDS = 2.0

# As nobody, without a token: passes a TCP socket that lingers, and lets go of its own before the room has it.
_STRANGER = """
import contextlib, os, socket, struct, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
server = socket.create_server(("127.0.0.1", 0)); server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
frame = bytes.fromhex(sys.argv[3])
for _ in range(12):
    near = socket.create_connection(server.getsockname()); far, _ = server.accept()
    near.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True: near.send(bytes(65536))
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, int(sys.argv[2])))
    room = socket.socket(socket.AF_UNIX); room.connect(sys.argv[1])
    fd = near.detach()
    with contextlib.suppress(PermissionError): socket.send_fds(room, [frame[:9]], [fd])
    os.close(fd)  # the room has half a frame, and the last copy
    room.sendall(frame[9:])
print("done", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("room", ROOMS)
def test_a_strangers_socket_that_lingers_holds_no_room_up(undisturbed: Node, room: str) -> None:
    """close(2) of the last copy of a TCP socket with SO_LINGER waits for what was not taken."""
    frame = wire.request(f"{room}.nothing").hex()
    argv = [os.path.realpath(sys.executable), "-I", "-S", "-c", _STRANGER]
    argv += [str(undisturbed.manager.paths.socket(room)), str(SECONDS), frame]
    with subprocess.Popen(argv, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stranger:
        assert stranger.stdout
        try:
            began = time.monotonic()
            while time.monotonic() - began < 1.5:
                asked = time.monotonic()
                assert not undisturbed.ask(f"{room}.nothing")["ok"]
                assert time.monotonic() - asked < PROMPT_SECONDS
        finally:
            stranger.kill()


# In the session's shell, when it is told to write to other pipes: puts a socket that lingers where the room will look
# for them, before it reports, and lets go of it when the room has its copy.
_LISTEN = """
import socket
server = socket.create_server(("127.0.0.1", 0)); server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
open("/root/port", "w").write(str(server.getsockname()[1]))
held = []
while True: held.append(server.accept())
"""
_LINGER = f"""
import contextlib, socket, struct
near = socket.socket(fileno=0); near.setblocking(False)
with contextlib.suppress(BlockingIOError):
    while True: near.send(bytes(65536))
near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, {SECONDS}))
"""
_HOSTILE_SHELL = r"""
python3 /root/listen.py & until [[ -s /root/port ]]; do sleep 0.01; done
exec 50<>/dev/tcp/127.0.0.1/$(</root/port); python3 /root/linger.py <&50
stage=0
trap 'case $stage$BASH_COMMAND in
0*"40<>"*) stage=1 ;;
1*"/end "*) exec 40<&50 41<&50; stage=2 ;;
2*"/text "*) exec 40>/dev/null 41>/dev/null 50<&-; stage=3; echo lingers >/root/done ;;
esac' DEBUG
"""


def test_a_shell_with_something_else_in_the_place_of_its_pipes_holds_nobody_up(
    undisturbed: Node, bystander: Cell
) -> None:
    """The room takes copies of the shell's write ends (pidfd_getfd(2)), and must not wait to close what is there."""
    with opened(undisturbed, "audit", "shell") as hostile:
        for name, text in (("listen.py", _LISTEN), ("linger.py", _LINGER), ("shell", _HOSTILE_SHELL)):
            hostile.call("put", path=name, data=text)
        hostile.ask("exec", command=". /root/shell", timeout_ms=5000)
        for _ in range(4):
            hostile.ask("exec", command="sleep 1000 &", timeout_ms=500)
            asked = time.monotonic()
            assert bystander.sh("echo prompt")["stdout"] == "prompt\n"
            assert time.monotonic() - asked < PROMPT_SECONDS
        assert "lingers" in hostile.sh("cat /root/done")["stdout"], "the room took what was there"
        asked = time.monotonic()
        hostile.call("close")
        assert bystander.sh("echo prompt")["stdout"] == "prompt\n"
        assert time.monotonic() - asked < PROMPT_SECONDS
