"""Every JSON that is written is JSON: NaN and infinity are no numbers of its standard."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("csb_format", "compiler", "engine", "pruning", "hdl", "sim", "boards", "sparseflow",
         "bench", "examples")  # fmt: skip


def test_no_json_is_written_with_nan() -> None:
    paths = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    calls = [(path, call) for path in paths for call in _dumps(path)]
    assert len(calls) > 30
    assert not [f"{path}:{call.lineno}" for path, call in calls if not _strict(call)]


def _dumps(path: Path) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("dump", "dumps")
        and isinstance(node.func.value, ast.Name)
        and "json" in node.func.value.id
    ]


def _strict(call: ast.Call) -> bool:
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    value = given.get("allow_nan")
    return isinstance(value, ast.Constant) and value.value is False
