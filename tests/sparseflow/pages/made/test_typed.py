"""What is told of the command that was typed."""

from __future__ import annotations

import shlex

import pytest

from sparseflow.pages.made.typed import as_told, as_typed, typed, with_command


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["pack", "my model.pt", "--out", "m"], "sparseflow pack 'my model.pt' --out m"),
        (["pack", "../a/p.pt", "--out=x/m"], "sparseflow pack ../a/p.pt --out=x/m"),
        (["pack", "/data/ada/secret/p.pt"], "sparseflow pack p.pt"),
        (["pack", "--out=/data/ada/m", "/"], "sparseflow pack --out=m /"),
        (["pack", "/data/ada/-p.pt", "--out=/a/-m"], "sparseflow pack ./-p.pt --out=./-m"),
        (["prune", "--for", "w:banks=4"], "sparseflow prune --for w:banks=4"),
    ],
)
def test_paths_of_a_machine_are_names_and_all_else_is_as_typed(words: list[str], told: str) -> None:
    assert as_told(words) == told
    assert shlex.split(told)[0] == "sparseflow"


def test_names_that_are_no_text_can_be_written() -> None:
    assert as_told(["pack", "\udcff.pt"]).encode() == b"sparseflow pack '?.pt'"


def test_a_command_is_noted_behind_those_before_and_python_types_none() -> None:
    assert typed() == ""
    assert with_command({"banks": 4}) == {}
    earlier = {"commands": ["sparseflow prune d.pt", 7]}  # of a file, which may hold anything
    assert with_command(earlier) == {"commands": ["sparseflow prune d.pt"]}
    with as_typed(["pack", "p.pt"]):
        found = with_command(earlier)
        with as_typed(()):  # as the steps of a demo, which nobody has typed
            assert typed() == ""
    assert found == {"commands": ["sparseflow prune d.pt", "sparseflow pack p.pt"]}
    assert typed() == ""
