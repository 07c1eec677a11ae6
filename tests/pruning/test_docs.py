import pytest
from torch import nn

from tests.docs.blocks import blocks

GUIDE = "docs/pruning.md"


def test_every_snippet_of_the_guide_runs(capsys: pytest.CaptureFixture[str]) -> None:
    snippets = [block.text for block in blocks(GUIDE, "python")]
    assert len(snippets) == 6
    names: dict[str, object] = {}
    for snippet in snippets:
        exec(compile(snippet, GUIDE, "exec"), names)
    printed = capsys.readouterr().out
    assert "weight_ih_l0 89.54%, 2 per group" in printed
    assert type(names["plain"]) is nn.LSTM
    rows = names["made"].rows  # type: ignore[attr-defined]
    assert [row["pattern"] for row in rows] == ["dense", "banks", "blocks", "unstructured"]
