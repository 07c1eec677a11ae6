"""What pages call by a dotted name is called so, and what they import can be imported."""

from __future__ import annotations

import ast
import importlib
import re
import textwrap

import pytest

from csb_format.extras import MissingExtraError
from tests.docs.blocks import blocks
from tests.test_rooms import MAY_IMPORT, ROOT

NAME = re.compile(rf"(?<![\w/.-])((?:{'|'.join(MAY_IMPORT)}|bench)(?:\.[A-Za-z_]\w*)+)")
# Files, and places that a reader fills in.
OTHER = re.compile(r"\.(md|py|c|h|json|toml|v|sv|safetensors|vlt|bit|bin|fs)$|\.[A-Z]+$")
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "boards/c/*.[ch]")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"  # it names what was
)


def _there(name: str) -> bool:
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        return _has(found, parts[count:])
    return False


def _has(found: object, names: list[str]) -> bool:
    for name in names:
        try:
            found = getattr(found, name)
        except AttributeError:
            return False
        except MissingExtraError:  # there, but an extra of slow tests brings what it needs
            return name in vars(found)["__all__"]
    return True


@pytest.mark.parametrize("page", PAGES)
def test_dotted_names_are_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    names = {name for name in NAME.findall(text) if not OTHER.search(name)}
    assert sorted(name for name in names if not _there(name)) == []


#: Written beside the Verilog; tests/boards/build/test_ip.py runs it.
WRITTEN = "sparseflow_litex"


def _imports(page: str) -> list[ast.stmt]:
    nodes = [
        node
        for block in blocks(page, "python")
        if "import " in block.text
        for node in ast.walk(ast.parse(textwrap.dedent(block.text)))
    ]
    found = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    return [node for node in found if getattr(node, "module", None) != WRITTEN]


@pytest.mark.parametrize("page", [page for page in PAGES if page.endswith(".md")])
def test_imports_of_the_examples_work(page: str) -> None:
    for node in _imports(page):
        exec(compile(ast.Module([node], []), page, "exec"), {})
