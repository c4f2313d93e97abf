# SPDX-License-Identifier: MIT
"""The house rules: who may import whom, who owns which foreign library, and how a file looks.

Rules are tables; each is checked against the real tree, and against a small wrong one that it must refuse.
"""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PROJECT = Path(__file__).parent.parent.parent

# A part imports from lower floors and from itself, and nothing else of ours.
FLOORS = (
    ("words", {"errors", "types"}),
    (
        "ground",
        {
            *("certificates", "config", "durable", "edition", "files", "log", "paths", "processes", "programs"),
            *("settings", "values"),
        },
    ),
    ("tools", {"units", "templates", "sockets", "policy"}),
    ("hands", {"systemd", "embedded", "client", "installation"}),
    ("rooms", {"supervisor", "registry", "identity", "fs", "sandbox"}),
    ("doors", {"cli", "api"}),
)
GATE = len(FLOORS)  # strata/*/main.py and strata/__main__.py stand above all
DATA = {"services", "templates"}  # no code in there

# Neighbours on one floor that may be used, one way.
NEIGHBOURS = {
    ("types", "errors"),
    ("config", "paths"),
    ("config", "settings"),
    ("config", "values"),
    ("edition", "settings"),
    ("units", "templates"),
    ("policy", "sockets"),
}

# Doors knock on sockets; they do not go through walls.
FORBIDDEN = {(door, room) for door in dict(FLOORS)["doors"] for room in dict(FLOORS)["rooms"]}

# Each foreign library that could spread has one owner: a package, or a single module. libsodium has two sides: who
# verifies holds public keys, who signs the private one, and they must not be one module.
OWNERS = {
    "pystemd": ("strata.systemd",),
    "jinja2": ("strata.units",),
    "click": ("strata.cli",),
    "nacl": ("strata.policy.token", "strata.identity.signer"),
    "pyseto": ("strata.identity",),
    "cryptography": ("strata.certificates",),
    "uvloop": ("strata.systemd.daemon",),
    "uvicorn": ("strata.api.http1",),
    "starlette": ("strata.api",),
    "mcp": ("strata.api",),
    "mcp_types": ("strata.api",),
    "grpclib": ("strata.api",),
    "h2": ("strata.api",),
    "google": ("strata.api",),
}

# What a process must not load, however indirectly, when it imports the module: memory and start-up time.
LIGHT = {
    "strata.registry.main": {"pystemd", "lxml", "jinja2", "click", "pyseto", "jsonschema"},
    "strata.identity.main": {"pystemd", "lxml", "jinja2", "click"},
    "strata.fs.main": {"pystemd", "lxml", "jinja2", "click", "pyseto"},
    "strata.systemd.journal": {"pystemd", "msgspec"},
    "strata.systemd.notify": {"pystemd", "msgspec", "asyncio"},
    "strata.sandbox.main": {"pystemd", "lxml", "click", "pyseto"},
    "strata.sandbox.launcher.main": {
        "pystemd",
        "msgspec",
        "asyncio",
        "logging",
        "nacl",
        "subprocess",
        "click",
        "jinja2",
    },
    "strata.client": {"asyncio", "msgspec"},
    "strata.client.sync_client": {"asyncio", "msgspec", "click", "http", "ssl", "hashlib", "threading", "logging"},
    "strata.cli.main": {"pystemd", "jinja2", "click", "msgspec", "asyncio", "uvloop", "nacl", "pyseto"},
}

# Packages whose names people import. They load when they are used (PEP 562), so that one does not pay for another.
LAZY = {"strata.client"}

CEILING = 300  # lines
# Module → why it may be taller.
TALLER: dict[str, str] = {}
NO_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc", "core", "shared"}


class Import(NamedTuple):
    """`target` is as written, module and perhaps a name in it; `at_load` says it happens when the module loads."""

    line: int
    target: str
    at_load: bool


class Module(NamedTuple):
    name: str
    path: Path
    imports: tuple[Import, ...]


# --- reading a tree


def read_tree(root: Path) -> dict[str, Module]:
    """Every module of the package `strata` below `root`, by its dotted name."""
    found = {}
    for path in sorted((root / "strata").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        found[name] = Module(name, path, tuple(_imports(ast.parse(path.read_bytes()), package)))
    return found


def _imports(tree: ast.Module, package: str) -> Iterator[Import]:
    late = {id(node) for block in ast.walk(tree) if _is_late(block) for node in ast.walk(block)}
    for node in ast.walk(tree):
        for target in _targets(node, package):
            yield Import(node.lineno, target, id(node) not in late)


def _is_late(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return any(
            isinstance(part, ast.Name | ast.Attribute) and "TYPE_CHECKING" in ast.dump(part)
            for part in ast.walk(node.test)
        )
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def _targets(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        start = package.rsplit(".", node.level - 1)[0] + "." if node.level else ""
        module = (start + (node.module or "")).strip(".")
        yield from (f"{module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")) and node.args:
        given = node.args[0]
        if isinstance(given, ast.Constant) and isinstance(given.value, str):
            yield given.value


def resolve(target: str, tree: dict[str, Module]) -> str | None:
    """The module of ours that an import loads: `strata.a.b` or, for a name in it, its module. None for foreign ones."""
    while target.startswith("strata"):
        if target in tree:
            return target
        target = target.rpartition(".")[0]
    return None


# --- the rules: each yields sentences that say what is wrong


def part_of(module: str) -> str:
    """`strata.units.text` → `units`."""
    return module.split(".")[1] if "." in module else ""


def floor_of(module: str) -> int:
    """Number of the floor, from below. Raises LookupError for a part that the table does not know."""
    part = part_of(module)
    if module == "strata" or not part:
        return -1  # the version may be read by all
    if module.endswith((".main", ".__main__")):
        return GATE
    return next(number for number, (_, parts) in enumerate(FLOORS) if part in parts)


def wrong_places(tree: dict[str, Module]) -> Iterator[str]:
    known = set().union(*(parts for _, parts in FLOORS)) | DATA | {"", "__main__"}
    yield from (f"{name}: no floor is known for {part_of(name)}" for name in tree if part_of(name) not in known)


def wrong_floors(tree: dict[str, Module]) -> Iterator[str]:
    for module in tree.values():
        for line, target, _ in module.imports:
            loaded = resolve(target, tree)
            if loaded and (why := _trespass(module.name, loaded)):
                yield f"{module.name}:{line} imports {loaded}: {why}"


def _trespass(importer: str, loaded: str) -> str:
    if loaded.endswith((".main", ".__main__")):
        # `python -m strata` and strata-ctl are the same thing; the one may call the other.
        return "" if importer == "strata.__main__" else "nothing imports a main"
    here, there = part_of(importer), part_of(loaded)
    if not there or here == there:
        return ""
    rooms = dict(FLOORS)["rooms"]
    if here in rooms and there in rooms:
        return "rooms never import one another"
    if (here, there) in FORBIDDEN:
        return "a door knocks on sockets"
    if floor_of(loaded) >= floor_of(importer) and (here, there) not in NEIGHBOURS:
        return "it is not on a lower floor"
    return ""


def cycles(tree: dict[str, Module]) -> Iterator[str]:
    graph = {
        module.name: {loaded for _, target, at_load in module.imports if at_load and (loaded := resolve(target, tree))}
        - {module.name}
        for module in tree.values()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        yield "an import cycle: " + " → ".join(reversed(error.args[1]))


def wrong_owners(tree: dict[str, Module]) -> Iterator[str]:
    for module in tree.values():
        for line, target, _ in module.imports:
            owners = OWNERS.get(target.split(".")[0])
            if owners and not any(f"{module.name}.".startswith(f"{owner}.") for owner in owners):
                yield f"{module.name}:{line} imports {target}: only {' and '.join(owners)} may"


def heavy_loads(tree: dict[str, Module]) -> Iterator[str]:
    for start, unwanted in LIGHT.items():
        if start not in tree:
            yield f"{start} is not there"
            continue
        came_from: dict[str, str] = {start: ""}
        for name in (queue := [start]):
            for _, target, at_load in tree[name].imports if name in tree else ():  # foreign ones lead nowhere
                loaded = resolve(target, tree) or target.split(".")[0]
                if at_load and loaded not in came_from:
                    came_from[loaded] = name
                    queue.append(loaded)
        yield from (f"{start} loads {name}, through {came_from[name]}" for name in sorted(unwanted & came_from.keys()))


def logic_in_init(tree: dict[str, Module]) -> Iterator[str]:
    for module in tree.values():
        if module.path.name != "__init__.py":
            continue
        for node in ast.parse(module.path.read_bytes()).body:
            if not (_is_harmless(node, module.name) or (module.name in LAZY and _is_lazy(node))):
                yield f"{module.path}:{node.lineno} holds logic; an __init__.py holds none"


def _is_harmless(node: ast.stmt, name: str) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Assign) and name == "strata" and ast.unparse(node.targets[0]) == "__version__"


def _is_lazy(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.module in ("__future__", "typing")
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0]) == "__all__"
    return _is_late(node) and getattr(node, "name", "__getattr__") == "__getattr__"


def too_tall(tree: dict[str, Module]) -> Iterator[str]:
    for module in tree.values():
        lines = len(module.path.read_bytes().splitlines())
        if lines > CEILING and not TALLER.get(module.name):
            yield f"{module.path} has {lines} lines; at {CEILING} a file no longer fits in one head"


def empty_names(tree: dict[str, Module]) -> Iterator[str]:
    for name in tree:
        if bad := NO_NAMES & set(name.split(".")):
            yield f"{name}: `{bad.pop()}` says nothing about what is inside"


def unlicensed(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        if not path.read_text(encoding="utf-8").startswith("# SPDX-License-Identifier: MIT\n"):
            yield f"{path}: the first line must be the licence's"


RULES = (wrong_places, wrong_floors, cycles, wrong_owners, logic_in_init, too_tall, empty_names)


# --- the real tree


@pytest.fixture(scope="module")
def tree() -> dict[str, Module]:
    return read_tree(PROJECT)


@pytest.mark.parametrize("rule", [*RULES, heavy_loads], ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_rules(rule, tree) -> None:  # type: ignore[no-untyped-def]
    assert list(rule(tree)) == []


def test_every_source_file_carries_its_licence() -> None:
    parts = ("strata", "tests", "benchmarks", "scripts")
    assert list(unlicensed(path for part in parts for path in sorted((PROJECT / part).rglob("*.py")))) == []


def test_the_list_of_taller_files_has_nothing_to_spare(tree: dict[str, Module]) -> None:
    for name in TALLER:
        assert len(tree[name].path.read_bytes().splitlines()) > CEILING, f"{name} can be taken off the list"


def test_the_reader_sees_the_whole_tree(tree: dict[str, Module]) -> None:
    """A rule that looked at nothing would always hold."""
    assert {part for _, parts in FLOORS for part in parts} - DATA <= {part_of(name) for name in tree}
    for library, owners in OWNERS.items():
        users = [m.name for m in tree.values() if any(i.target.split(".")[0] == library for i in m.imports)]
        assert users, f"nobody imports {library}; is {owners} still its owner?"


def test_what_the_light_modules_load_is_what_python_loads(tree: dict[str, Module]) -> None:
    """The reading of the source, held against the interpreter itself."""
    for start, unwanted in LIGHT.items():
        program = f"import sys, {start}; print(*sys.modules)"
        loaded = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=PROJECT
        )
        assert not unwanted & set(loaded.stdout.split()), start


# --- a wrong tree must not pass

WRONG = {
    "a room that imports another": (wrong_floors, "registry/table.py", "from strata.identity import keys"),
    "a tool that imports a room": (wrong_floors, "policy/gate.py", "import strata.fs.handles"),
    "a lower floor, late": (wrong_floors, "paths.py", "def f():\n    from strata.sockets import frame"),
    "a lower floor, for types only": (
        wrong_floors,
        "errors.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from strata.fs import handles",
    ),
    "a lower floor, by name": (
        wrong_floors,
        "log.py",
        "import importlib\nimportlib.import_module('strata.fs.handles')",
    ),
    "a relative import upstairs": (wrong_floors, "sockets/frame.py", "from ..policy import gate"),
    "sockets that import policy": (wrong_floors, "sockets/frame.py", "from strata.policy.gate import Gate"),
    "a door through the wall": (wrong_floors, "cli/main.py", "from strata.fs import handles"),
    "an import of a main": (wrong_floors, "cli/status.py", "from strata.fs.main import compose"),
    "a part without a floor": (wrong_places, "extra/thing.py", ""),
    "a cycle": (cycles, "sockets/frame.py", "from strata.sockets import server"),
    "a foreign library elsewhere": (wrong_owners, "fs/handles.py", "def f():\n    import pystemd.dbuslib"),
    "uvloop outside its one module": (wrong_owners, "systemd/journal.py", "import uvloop"),
    "logic in an __init__": (logic_in_init, "fs/__init__.py", "from strata.fs import handles"),
    "an __init__ that loads early what it could load late": (
        logic_in_init,
        "client/__init__.py",
        "from strata.errors import X",
    ),
    "logic in a lazy __init__": (logic_in_init, "client/__init__.py", "def f() -> None: ..."),
    "a giant": (too_tall, "fs/handles.py", "x = 1\n" * 301),
    "a name that says nothing": (empty_names, "fs/utils.py", ""),
}

RIGHT = {
    "__init__.py": "__version__ = '1'",
    "errors.py": "",
    "paths.py": "from strata.errors import X",
    "log.py": "",
    "sockets/__init__.py": "",
    "sockets/frame.py": "import struct",
    "sockets/server.py": "from strata.sockets import frame",
    "policy/gate.py": "from strata.sockets.server import Server",
    "systemd/journal.py": "",
    "identity/keys.py": "import pyseto",
    "registry/table.py": "from strata.policy import gate",
    "fs/__init__.py": "",
    "fs/handles.py": "",
    "fs/main.py": "from strata.fs import handles",
    "cli/status.py": "import click",
    "cli/main.py": "from strata.cli import status",
    "__main__.py": "from strata.cli.main import main",
}


def plant(root: Path, files: dict[str, str]) -> dict[str, Module]:
    for name, text in files.items():
        path = root / "strata" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_tree(root)


def test_a_right_tree_passes(tmp_path: Path) -> None:
    tree = plant(tmp_path, RIGHT)
    assert [sentence for rule in RULES for sentence in rule(tree)] == []


@pytest.mark.parametrize(("rule", "file", "text"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_tree_does_not_pass(rule, file: str, text: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert len(list(rule(plant(tmp_path, RIGHT | {file: text})))) == 1


def test_a_heavy_import_is_found_through_others(tmp_path: Path) -> None:
    files = {"registry/main.py": "from strata.registry import table", "registry/table.py": "import click"}
    found = list(heavy_loads(plant(tmp_path, RIGHT | files)))
    assert "strata.registry.main loads click, through strata.registry.table" in found
    assert "strata.identity.main is not there" in found


def test_a_file_without_its_licence_is_found(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("import os\n")
    assert len(list(unlicensed([tmp_path / "x.py"]))) == 1
