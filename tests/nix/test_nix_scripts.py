# SPDX-License-Identifier: MIT
"""The scripts of tests/vm use only what the NixOS test driver has, so that what runs on Debian here runs there too.

The table is what nixos/lib/test-driver had both in August 2024 (`Machine`) and in July 2026 (`BaseMachine` and
`QemuMachine`), so every release between them has it: names, and the arguments that may be given. Left out on purpose:
`reboot`, which works only on a machine that was started with `allow_reboot=True`; `shutdown` and `start` always do.
"""

from __future__ import annotations

import ast
import builtins
import os
from pathlib import Path
from typing import TypeGuard

import pytest
from evaluation import NEEDS_TREE, REPOSITORY

VM = REPOSITORY / "tests/vm"
# Beside them lies what runs them.
SCRIPTS = [
    file
    for file in (*sorted(VM.glob("*.py")), *sorted(VM.glob("nixos/*.py")), *sorted(VM.glob("long/*.py")))
    if file.with_suffix(".nix").exists() or file.parent.name == "nixos"
]
PROVIDED = {
    "machine",
    "start_all",
    "join_all",
    "subtest",
    "retry",
    "log",
    "driver",
    "machines",
    "polling_condition",
    "os",
}
METHODS: dict[str, set[str]] = {
    "block": set(),
    "connect": set(),
    "copy_from_host": {"source", "target"},
    "copy_from_host_via_shell": {"source", "target"},
    "copy_from_vm": {"source", "target_dir"},
    "crash": set(),
    "execute": {"command", "check_return", "check_output", "timeout"},
    "fail": {"timeout"},
    "forward_port": {"host_port", "guest_port"},
    "get_tty_text": {"tty"},
    "get_unit_info": {"unit", "user"},
    "get_unit_property": {"unit", "property", "user"},
    "is_up": set(),
    "log": {"msg"},
    "nested": {"msg", "attrs"},
    "require_unit_state": {"unit", "require_state"},
    "send_console": {"chars"},
    "send_key": {"key", "delay", "log"},
    "send_monitor_command": {"command"},
    "shutdown": set(),
    "sleep": {"secs"},
    "start": set(),
    "start_job": {"jobname", "user"},
    "stop_job": {"jobname", "user"},
    "succeed": {"timeout"},
    "systemctl": {"q", "user"},
    "unblock": set(),
    "wait_for_closed_port": {"port", "addr", "timeout"},
    "wait_for_console_text": {"regex", "timeout"},
    "wait_for_file": {"filename", "timeout"},
    "wait_for_open_port": {"port", "addr", "timeout"},
    "wait_for_open_unix_socket": {"addr", "is_datagram", "timeout"},
    "wait_for_shutdown": set(),
    "wait_for_unit": {"unit", "user", "timeout"},
    "wait_until_fails": {"command", "timeout"},
    "wait_until_succeeds": {"command", "timeout"},
    "wait_until_tty_matches": {"tty", "regexp", "timeout"},
}
ATTRIBUTES = {"name", "booted"}


def unknown(text: str) -> list[str]:
    """What a script asks of a machine that the driver does not have, and of its own that nothing defines."""
    tree = ast.parse(text)
    found = []
    for node in ast.walk(tree):
        if _of_machine(node) and node.attr not in METHODS.keys() | ATTRIBUTES:
            found.append(f"line {node.lineno}: machine.{node.attr}")
        if isinstance(node, ast.Call) and _of_machine(node.func) and node.func.attr in METHODS:
            wrong = {word.arg for word in node.keywords if word.arg} - METHODS[node.func.attr]
            found += [f"line {node.lineno}: machine.{node.func.attr}({word}=)" for word in sorted(wrong)]
    return found + [f"line {line}: {name}" for name, line in _undefined(tree)]


def _of_machine(node: ast.AST) -> TypeGuard[ast.Attribute]:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "machine"


def _undefined(tree: ast.Module) -> list[tuple[str, int]]:
    defined = PROVIDED | set(dir(builtins))
    used = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                used.append((node.id, node.lineno))
            else:
                defined.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.arg):
            defined.add(node.arg)
        elif isinstance(node, ast.alias):
            defined.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            defined.add(node.name)
    return [(name, line) for name, line in used if name not in defined]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: str(script.relative_to(VM)))
def test_a_script_asks_only_for_what_the_nixos_driver_has(script: Path) -> None:
    assert unknown(script.read_text()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("machine.wait_for_units('x')", "line 1: machine.wait_for_units"),
        ("machine.succeed('x', timeouts=3)", "line 1: machine.succeed(timeouts=)"),
        ("machine.reboot()", "line 1: machine.reboot"),
        ("machine.save('x')", "line 1: machine.save"),
        ("print(machin)", "line 1: machin"),
    ],
)
def test_what_the_driver_does_not_have_is_found(text: str, said: str) -> None:
    assert unknown(text) == [said]


def test_the_table_is_part_of_what_a_real_driver_has() -> None:
    """Of the tree in NIXPKGS, where there is one."""
    tree = os.environ.get("NIXPKGS")
    if not tree:
        pytest.skip(NEEDS_TREE)
    file = Path(tree) / "nixos/lib/test-driver/src/test_driver/machine/__init__.py"
    classes = [node for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef)]
    methods = {
        one.name: {argument.arg for argument in [*one.args.args, *one.args.kwonlyargs]}
        for kind in classes
        if kind.name in ("Machine", "BaseMachine", "QemuMachine")
        for one in kind.body
        if isinstance(one, ast.FunctionDef)
    }
    assert [name for name in METHODS if name not in methods] == []
    assert {name: words - methods[name] for name, words in METHODS.items() if words - methods[name]} == {}
