"""Banks that do not fit: every matrix by its name, and what does."""

from __future__ import annotations

import pytest

from pruning.mask.views import Banks
from sparseflow.steps.tuning.banks import check_banks, uneven

SIZES = {"lstm.weight_ih_l0": (80, 9), "lstm.weight_hh_l0": (80, 20)}


@pytest.mark.parametrize(
    ("views", "text"),
    [
        ((Banks(65), Banks(18)), r"65 banks: more than there can be of lstm.weight_ih_l0 "
         r"\(80 x 9\); --banks of 1 to 64 fits all matrices, 1, 3, 9 divide the columns of"),
        ((Banks(70), Banks(70)), r"lstm.weight_ih_l0 \(80 x 9\), lstm.weight_hh_l0 \(80 x 20\);"),
        ((Banks(3), Banks(width=21)), r"21 columns in a bank: more .*\(80 x 20\); --bank-width of"),
    ],
)  # fmt: skip
def test_too_many_banks(views: tuple[Banks, Banks], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        check_banks(SIZES, dict(zip(SIZES, views, strict=True)))


def test_banks_without_a_column_are_told() -> None:
    every = dict.fromkeys(SIZES, Banks(7))
    check_banks(SIZES, every)
    assert list(uneven(SIZES, every)) == [
        "lstm.weight_ih_l0 (80 x 9): 2 of 7 banks are without a column, and their multipliers "
        "wait; 1, 3, 9 divide its columns"
    ]
    assert not list(uneven(SIZES, dict.fromkeys(SIZES, Banks(5))))
