# SPDX-License-Identifier: MIT
"""What the profiles let a service do, asked from inside services that a real manager runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from machine import Manager

from strata.units.access import access
from strata.units.context import Context, context, own_code
from strata.units.model import Manifest, Profile, UnitText
from strata.units.render import render, render_supervisor

STARTER = Path(__file__).with_name("unit_start.py")

# Asks, from inside, what each of its arguments (code → value) evaluates to; an OSError counts as its name.
ASK = """
import json, os, socket, subprocess, sys
def ask(question):
    try:
        return eval(question)
    except OSError as error:
        return type(error).__name__
def caps():
    return next(line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff"))
def write(path):
    with open(path, "w") as file:
        return file.write("x")
print(json.dumps([ask(question) for question in sys.argv[1:]]), flush=True)
"""


def beside(manager: Manager, units: list[UnitText]) -> None:
    """Start units from a process that the manager's private socket can see: one in its PID namespace."""
    command = [sys.executable, str(STARTER), manager.bus_address, str(manager.version)]
    if manager.embedded is not None:
        command = ["nsenter", "--target", str(manager.embedded.pid), "--pid", "--", *command]
    answer = subprocess.run(command, input=json.dumps(units), capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


def answers(manager: Manager, unit: UnitText, out: Path) -> list[Any]:
    """What the questions of a started unit came to."""
    beside(manager, [unit])
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if out.exists() and (said := out.read_text()).endswith("]\n"):
            found: list[Any] = json.loads(said)
            return found
        time.sleep(0.02)
    pytest.fail(f"no answer from {unit.name}: {manager.run(['systemctl', 'status', unit.name]).stdout}\n{unit.text}")


@pytest.fixture
def where(manager: Manager) -> Context:
    return context("embedded" if manager.embedded else "system", manager.version, manager.paths)


def asking(manager: Manager, where: Context, profile: Profile, *questions: str) -> list[Any]:
    """The answers of a service with this profile."""
    name = f"ask-{uuid.uuid4().hex[:8]}"
    out = manager.paths.runtime_dir / f"{name}.json"
    manifest = Manifest(
        name=name,
        command=(where.python, "-P", "-c", ASK, *questions),
        profile=profile,
        unit={"Service": {"Restart": ("no",), "StandardOutput": (f"file:{out}",)}},
        source="test",
    )
    return answers(manager, render(manifest, where)[0], out)


@pytest.fixture
def home_file() -> Iterator[Path]:
    path = Path("/root") / f"strata-test-{uuid.uuid4().hex}"
    path.write_text("private")
    path.chmod(0o600)
    yield path
    path.unlink()


def code_in_tmp() -> list[str]:
    """What of /tmp a sealed service must see, because the code that it runs lies below."""
    return [path.split("/")[2] for path in own_code() if path.startswith("/tmp/")]


def test_a_sealed_service_is_nobody_and_may_nothing(manager: Manager, where: Context, home_file: Path) -> None:
    found = asking(
        manager,
        where,
        "sealed",
        "os.getuid() >= 61184",
        "caps()",
        f"os.path.exists({str(home_file)!r})",
        "os.listdir('/home')",
        f"[name for name in os.listdir('/tmp') if name not in {code_in_tmp()!r}]",
        "write('/etc/strata-test')",
        "write('/run/strata-test')",
        "socket.socket(socket.AF_INET)",
        "os.path.exists('/proc/1')",
        "os.setuid(0)",
    )
    # Closed, or empty where the code that it runs lies below a home.
    homes = [] if where.code.homes else "PermissionError"
    assert found[:5] == [True, "0000000000000000", False, homes, []]
    assert all(isinstance(answer, str) for answer in found[5:8])
    assert found[8:] == [False, "PermissionError"]


def test_a_sealed_service_can_import_strata_and_reach_the_sockets(manager: Manager, where: Context) -> None:
    found = asking(
        manager,
        where,
        "sealed",
        "__import__('strata.units.names').__name__",
        "[__import__(name).__name__ for name in ('msgspec', 'uvloop', 'nacl.signing', 'pyseto', 'ctypes')]",
        f"os.path.isdir({where.runtime_dir!r})",
        "os.environ['STRATA_RUNTIME_DIR']",
    )
    assert found == ["strata", ["msgspec", "uvloop", "nacl", "pyseto", "ctypes"], True, where.runtime_dir]


@pytest.fixture
def closed(manager: Manager) -> Iterator[Path]:
    """A directory that only root may enter, with something to read below it."""
    top = Path("/var") / f"strata-test-{uuid.uuid4().hex}"
    (top / "code").mkdir(parents=True)
    (top / "code" / "module").write_text("here")
    (top / "secret").write_text("hidden")
    top.chmod(0o700)
    yield top
    subprocess.run(["rm", "-r", str(top)], check=True)


def test_a_sealed_service_sees_of_a_closed_directory_only_the_code(
    manager: Manager, where: Context, closed: Path
) -> None:
    code = str(closed / "code")
    there = msgspec.structs.replace(where, code=access((*own_code(), where.runtime_dir, code)))
    found = asking(manager, there, "sealed", f"open({code + '/module'!r}).read()", f"os.listdir({str(closed)!r})")
    assert found == ["here", ["code"]]


def test_a_sealed_service_sees_of_a_home_only_the_code(manager: Manager, where: Context, home_file: Path) -> None:
    there = msgspec.structs.replace(where, code=access((*own_code(), where.runtime_dir, "/root/.strata-none")))
    assert there.code.homes
    code = Path("/root/.strata-none")
    code.mkdir()
    try:
        found = asking(manager, there, "sealed", f"os.path.isdir({str(code)!r})", f"os.path.exists({str(home_file)!r})")
    finally:
        code.rmdir()
    assert found == [True, False]


def test_the_machine_profile_reads_any_file_and_writes_where_people_keep_theirs(
    manager: Manager, where: Context, home_file: Path
) -> None:
    name = f"strata-test-{uuid.uuid4().hex}"
    kept = [Path(top) / name for top in ("/tmp", "/home", "/srv", "/var/tmp")]
    try:
        found = asking(
            manager,
            where,
            "machine",
            f"open({str(home_file)!r}).read()",
            *(f"write({str(path)!r})" for path in kept),
            f"write('/etc/{name}')",
            f"write('/usr/{name}')",
            f"write('/var/lib/{name}')",
            "caps()",
            "os.listdir('/var/lib/private')",
            "socket.socket(socket.AF_INET)",
            # openat2(2) on `.`, which fs resolves paths with: an empty struct open_how.
            "__import__('ctypes').CDLL(None).syscall(437, -100, b'.', bytes(24), 24) >= 0",
        )
        assert all(path.read_text() == "x" for path in kept)
    finally:
        for path in kept:
            path.unlink(missing_ok=True)
    assert found[:5] == ["private", 1, 1, 1, 1]
    assert found[5:8] == ["OSError"] * 3
    assert found[8] == "0000000000000006"
    assert found[9] in ([], "PermissionError")
    assert isinstance(found[10], str)
    assert found[11] is True


def test_the_supervisor_speaks_to_the_manager_without_any_capability(manager: Manager, where: Context) -> None:
    """Its own unit, with another program in it."""
    out = manager.paths.runtime_dir / f"supervisor-{uuid.uuid4().hex[:8]}.json"
    script = (
        "import json; from strata.systemd.bus import Bus; from strata.units.rows import Property; "
        "from strata.systemd.bus import TransientUnit; "
        "bus = Bus('unix:path=/run/systemd/private'); "
        "bus.start_transient(TransientUnit('strata-test-made.slice', ())); "
        "status = bus.status('strata-test-made.slice').load_state; bus.stop('strata-test-made.slice'); "
        "caps = next(line.split()[1] for line in open('/proc/self/status') if line.startswith('CapEff')); "
        f"open('{where.runtime_dir}/{out.stem}.probe', 'w').close(); "
        "print(json.dumps([bus.version()[:3], status, caps]), flush=True)"
    )
    lines = render_supervisor(where).text.replace("-m strata.supervisor.main", f'-c "{script}"')
    lines = lines.replace("Type=notify", "Type=exec").replace("Restart=on-failure", "Restart=no")
    lines = lines.replace("RuntimeDirectory=strata-supervisor", f"RuntimeDirectory=strata-test-{out.stem}")
    unit = UnitText(f"strata-test-{out.stem}.service", f"{lines}\nStandardOutput=file:{out}\n")
    assert answers(manager, unit, out) == [str(manager.version), "loaded", "0000000000000000"]
    out.with_suffix(".probe").unlink()
