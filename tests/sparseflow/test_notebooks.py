"""The notebooks under examples: what they show is what they compute."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "examples" / "notebooks").glob("*.ipynb"))
# Floating point sums in another order on another processor; the others compute in integers.
OF_FLOATS = {"prune_and_compare"}
MOST_BYTES = 60_000

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == [
        "model_to_bitstream",
        "prune_and_compare",
        "regression",
    ]


@each
def test_it_was_run_from_top_to_bottom_and_kept_small(path: Path) -> None:
    cells = _code(nbformat.read(path, as_version=4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert any(cell.outputs for cell in cells)
    assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)
    assert path.stat().st_size < MOST_BYTES


@pytest.mark.slow
@each
def test_it_runs_and_shows_the_same(path: Path, tmp_path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    shown = _printed(book)
    NotebookClient(book, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    if path.stem not in OF_FLOATS:
        assert _printed(book) == shown


def _code(book: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in book.cells if cell.cell_type == "code"]


def _printed(book: nbformat.NotebookNode) -> list[str]:
    """What every cell wrote, however it came in pieces."""
    return ["".join(o.text for o in c.outputs if o.output_type == "stream") for c in _code(book)]
