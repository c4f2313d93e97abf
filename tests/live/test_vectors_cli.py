# SPDX-License-Identifier: MIT
"""Vectors 105 to 111: the raw form of `strata-ctl`, typed at a running Strata, and the smoke sequence of 1.14."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node import CTL, Node

RUNS = 10
CWDS = ("/", "/tmp", "/usr", "/proc/self", "removed")
USAGE = "usage: strata-ctl [-token TOKEN] <method> [params_json]"


def test_105_a_reply_is_printed_as_indented_json(strata: Node) -> None:
    """`strata-ctl registry.list` -> exit 0, pretty 2-space JSON envelope on stdout."""
    said = strata.ctl("registry.list")
    assert (said.returncode, said.stderr) == (0, "")
    envelope = json.loads(said.stdout)
    assert said.stdout == json.dumps(envelope, indent=2) + "\n"
    assert (envelope["v"], envelope["ok"]) == (1, True)
    assert re.fullmatch(r"[0-9a-f]{16}", envelope["req_id"])
    assert isinstance(envelope["result"]["services"], list)


def test_106_an_error_is_printed_too_and_exits_one(strata: Node) -> None:
    """Error response -> envelope on stdout, exit 1."""
    said = strata.ctl("registry.resolve", '{"service":"nobody-there"}')
    assert said.returncode == 1
    envelope = json.loads(said.stdout)
    assert said.stdout == json.dumps(envelope, indent=2) + "\n"
    assert (envelope["ok"], envelope["error"]["code"]) == (False, 4)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), USAGE),
        (("-token",), "error: missing token value"),
        (("-x",), "error: unknown flag -x"),
        (("-token", "T"), "error: missing method"),
        (("registry.list", "{"), "error: invalid params JSON: "),
        (("registry.list", "[]"), "error: invalid params JSON: "),
    ],
)
def test_107_usage_errors(strata: Node, arguments: tuple[str, ...], complaint: str) -> None:
    """No args / `-token` alone / `-x` / no method / bad JSON / JSON array -> exit 1, message on stderr, no stdout."""
    said = strata.ctl(*arguments)
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr.startswith(complaint)


def test_108_the_token_is_sent(strata: Node, tree: Path) -> None:
    """`-token T fs.list '{"path":"."}'` -> auth sent; without it code 2."""
    token = strata.issue(path_prefix=str(tree)).token
    said = strata.ctl("-token", token, "fs.list", '{"path":"."}')
    assert said.returncode == 0
    assert "a.txt" in [entry["name"] for entry in json.loads(said.stdout)["result"]["entries"]]
    without = strata.ctl("fs.list", '{"path":"."}')
    assert (without.returncode, json.loads(without.stdout)["error"]["code"]) == (1, 2)


def test_109_without_the_registry_the_convention_serves(disturbed: Node) -> None:
    """Registry stopped -> identity.issue still works by socket convention, with a notice on stderr."""
    disturbed.call("supervisor.svc.stop", {"name": "registry"})
    said = disturbed.ctl("identity.issue", '{"service":"fs","actions":["open"]}')
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["result"]["token"].startswith("v2.public.")
    assert "registry unavailable" in said.stderr


@pytest.mark.parametrize("method", ["registry.list", "supervisor.status", "identity.issue", "fs.list"])
def test_110_where_nobody_listens(strata: Node, tmp_path: Path, method: str) -> None:
    """No daemon -> exit 1, stderr `error: …`, no stdout."""
    said = strata.ctl(method, STRATA_RUNTIME_DIR=str(tmp_path))
    assert (said.returncode, said.stdout) == (1, "")
    assert re.search(r"^error: dial ", said.stderr, re.MULTILINE)


@pytest.fixture
def smoke_files() -> Iterator[None]:
    """The two names in /tmp that the smoke sequence uses, free before and gone afterwards."""
    directory, file = Path("/tmp/strata-smoke"), Path("/tmp/strata-smoke-test.txt")
    yield
    file.unlink(missing_ok=True)
    if directory.is_dir():
        directory.rmdir()


@pytest.mark.usefixtures("smoke_files")
@pytest.mark.parametrize("run", range(RUNS))
def test_111_the_smoke_sequence(strata: Node, tmp_path: Path, run: int) -> None:
    """Smoke sequence of 1.14, all nine steps, from any cwd, 10 runs of 10."""
    typed = Typist(strata, CWDS[run % len(CWDS)], tmp_path)
    typed.ok("supervisor.status")  # 1
    assert "services" in typed.ok("supervisor.svc.list")  # 2
    assert "services" in typed.ok("registry.list")  # 3
    assert typed.ok("registry.resolve", service="identity")["endpoint"]  # 4
    issued = typed.ok("identity.issue", service="fs", actions=["open", "read", "list"], path_prefix="/tmp")  # 5
    typed.token = issued["token"]
    Path("/tmp/strata-smoke").mkdir(exist_ok=True)
    typed.ok("fs.list", path="strata-smoke")  # 6
    Path("/tmp/strata-smoke-test.txt").write_text("smoke test content\n")
    handle = typed.ok("fs.open", path="strata-smoke-test.txt")["handle"]
    assert "smoke test content" in typed.ok("fs.read", handle=handle)["data"]  # 7
    typed.ok("identity.revoke", cap_id=issued["cap_id"])  # 8
    refused = typed.type("fs.list", path="strata-smoke")  # 9
    assert refused["ok"] is False
    assert "revoked" in refused["error"]["message"]


class Typist:
    """Somebody at a shell in a directory, which may be one that was `removed`; with a token once he has one."""

    def __init__(self, strata: Node, cwd: str, scratch: Path) -> None:
        self.strata, self.token = strata, ""
        removed = f"mkdir -p {scratch}/cwd && cd {scratch}/cwd && rmdir {scratch}/cwd"
        self.enter = removed if cwd == "removed" else f"cd {cwd}"

    def type(self, method: str, **params: Any) -> dict[str, Any]:
        """The envelope that a command line prints; its exit code must tell the same."""
        flags = ["-token", self.token] if self.token else []
        said = subprocess.run(
            ["/bin/sh", "-c", f'{self.enter} && exec "$@"', "sh", CTL, *flags, method, json.dumps(params)],
            env=self.strata.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.stdout, said.stderr
        envelope = json.loads(said.stdout)
        assert isinstance(envelope, dict)
        assert (said.returncode == 0) is (envelope["ok"] is True)
        return envelope

    def ok(self, method: str, **params: Any) -> Any:
        """The result, which there must be."""
        envelope = self.type(method, **params)
        assert envelope["ok"] is True, envelope
        return envelope.get("result")


def test_stop_tells_who_is_declared_to_come_after_and_is_left(disturbed: Node) -> None:
    said = disturbed.ctl("stop", "fs", "identity")
    disturbed.ctl("start", "identity", "fs")
    assert said.stdout == "fs: stopped\nidentity: stopped\n"
    assert said.stderr == "fs, sandbox: declared to come after identity, and left as they are\n"
