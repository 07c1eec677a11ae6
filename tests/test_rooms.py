"""The rooms import only downwards, and only what each of them is meant to know."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT: dict[str, set[str]] = {
    "csb_format": set(),
    "pruning": {"csb_format"},
    "hdl": {"csb_format"},
    "sim": {"csb_format", "hdl"},
    "boards": {"csb_format", "hdl", "sim"},
    "sparseflow": {"csb_format", "pruning", "hdl", "sim", "boards"},
}
# Whoever builds hardware needs neither a training framework nor a simulator for the format.
CSB_FORMAT_KNOWS = {"numpy", "scipy", "safetensors", "intelhex"}
TRAINING = {"torch"}
RUNS_CODE_WHEN_LOADED = {"pickle", "shelve", "dill", "cloudpickle", "joblib"}


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
    if room == "csb_format" and module not in CSB_FORMAT_KNOWS | sys.stdlib_module_names:
        return f"imports {module}: csb_format knows {sorted(CSB_FORMAT_KNOWS)}"
    return None


def violations(room: str, source: str) -> list[str]:
    """One line for every forbidden import of a source file of ``room``."""
    found = ((line, complaint(room, module)) for line, module in imports(source))
    return [f"line {line}: {reason}" for line, reason in sorted(found) if reason]


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


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_room_is_a_typed_package(room: str) -> None:
    assert (ROOT / room / "__init__.py").is_file()
    assert (ROOT / room / "py.typed").is_file()


def test_no_file_is_called_utils() -> None:
    files = [file for room in (*MAY_IMPORT, "tests") for file in (ROOT / room).rglob("*.py")]
    assert [file for file in files if file.stem in {"util", "utils", "helpers", "misc"}] == []


def test_allowed_imports_have_no_cycle() -> None:
    rooms = list(MAY_IMPORT)
    for room, known in MAY_IMPORT.items():
        assert all(rooms.index(other) < rooms.index(room) for other in known)


@pytest.mark.parametrize(
    ("room", "source", "match"),
    [
        ("csb_format", "import hdl.pe", "line 1: imports hdl: csb_format may import no room"),
        ("csb_format", "import rich", "imports rich: csb_format knows"),
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
        ("pruning", "import torch\nfrom csb_format import Fixed"),
        ("sim", "from hdl import Accelerator\nfrom . import integer"),
        ("sparseflow", "def f():\n    from pruning import prune\n    from . import pipeline"),
    ],
)
def test_checker_accepts_what_is_allowed(room: str, source: str) -> None:
    assert violations(room, source) == []
