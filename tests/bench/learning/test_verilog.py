"""Trainings in Verilog beside the contract: what is compared, and the smallest of them."""

from __future__ import annotations

import numpy as np
import pytest

from bench.learning.verilog import CASES, NETWORKS, SMALLEST, _batch, _compared, _trained


def test_every_number_that_differs_counts() -> None:
    wanted = {"a": np.arange(6), "b": np.zeros((2, 2), np.int64)}
    found = {name: values.copy() for name, values in wanted.items()}
    assert _compared(found, wanted) == (10, 0)
    found["a"][3] += 1
    found["b"][:, 1] = 1
    assert _compared(found, wanted) == (10, 3)
    with pytest.raises(ValueError, match=r"states of other parts: \['c'\]"):
        _compared(found | {"c": wanted["a"]}, wanted)


def test_arrays_hold_every_network_and_batches_differ() -> None:
    assert {(case.design.pes, case.design.lanes) for case in CASES.values()} == {
        (4, 4), (8, 4), (16, 4), (4, 8)
    }  # fmt: skip
    model = NETWORKS["8 bits"].model()
    (first, asked), (second, _) = _batch(model, 4), _batch(model, 8)
    assert [frames.shape for frames in first] == [frames.shape for frames in second]
    assert any((a != b).any() for a, b in zip(first, second, strict=True))
    assert asked.counted == len(first)


@pytest.mark.slow
def test_a_training_with_pauses_is_that_of_the_contract() -> None:
    found = _trained(SMALLEST["smallest"], 3)
    assert (found["updates"], found["mismatches"]) == (3, 0)
    assert found["moved"] > 500
    assert found["compared"] > found["moved"]
