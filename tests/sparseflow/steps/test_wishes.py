from __future__ import annotations

import pytest

from sparseflow.steps.wishes import Wish, is_called, parse, spread

NAMES = ["lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.weight_ih_l1", "lstm.weight_hh_l1"]


def test_a_wish_is_read() -> None:
    assert parse(["weight_ih:banks=16,sparsity=0.5", "weight_hh_l1: width = 32"]) == [
        ("weight_ih", Wish(banks=16, sparsity=0.5)),
        ("weight_hh_l1", Wish(width=32)),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "weight_ih", "weight_ih:", "weight_ih:banks", "weight_ih:banks=x", "weight_ih:k=3",
        ":banks=3", "w:banks=1=2", "w:banks=2,banks=3", "w:banks=2,width=3", "w:banks=2.5", "",
    ],
)  # fmt: skip
def test_what_is_no_wish_is_told_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"--for .*: write NAME:key=value,\.\.\. .*sparsity=0.5"):
        parse([text])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("w:banks=0", "0 must be at least 1"),
        ("w:width=-3", "-3 must be at least 1"),
        ("w:sparsity=87.5", "sparsity 87.5 must be 0 to 1"),
        ("w:sparsity=nan", "sparsity nan must be"),
    ],
)
def test_numbers_out_of_range(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse([text])


def test_a_parameter_goes_before_its_kind_and_the_last_before_the_first() -> None:
    own, first = "lstm.weight_hh_l1:sparsity=0.9", "weight_hh:sparsity=0.1"
    wishes = parse([own, first, "weight_hh:sparsity=0.2,width=4"])
    found = spread(wishes, NAMES, Wish(8, None, 0.5), {"lstm.weight_ih_l0": Wish(3)})
    assert found == {
        "lstm.weight_ih_l0": Wish(3),
        "lstm.weight_hh_l0": Wish(None, 4, 0.2),
        "lstm.weight_ih_l1": Wish(8, None, 0.5),
        "lstm.weight_hh_l1": Wish(None, 4, 0.9),
    }


def test_a_wish_for_nothing_names_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"--for weight_hr: there is no such .* lstm.weight_ih_l0"):
        spread([("weight_hr", Wish(2))], NAMES, Wish())


def test_names() -> None:
    assert is_called("a.weight_ih_l0", "weight_ih")
    assert is_called("a.weight_ih_l0", "weight_ih_l0")
    assert is_called("a.weight_ih_l0", "a.weight_ih_l0")
    assert not is_called("a.weight_ih_l0", "b.weight_ih_l0")
    assert not is_called("a.weight_ih_l0", "weight")
