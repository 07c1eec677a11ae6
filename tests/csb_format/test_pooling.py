"""What the head is fed with, in integers, in torch, in files and on the hardware's side."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csb_format import Model, ModelFileError, load_model, save_model
from csb_format.pooling import POOLS, pooled
from csb_format.random_models import random_network


def _model() -> Model:
    return random_network(np.random.default_rng(1), 4, 6, 2, (1, 1, 1), directions=2, head=3)


def test_last_is_the_last_frame_of_both_directions() -> None:
    assert pooled([[1, 2, 3, 4], [5, 6, 7, 8]], "last", 2).tolist() == [5, 6, 7, 8]


def test_hn_is_the_end_of_each_direction() -> None:
    assert pooled([[1, 2, 3, 4], [5, 6, 7, 8]], "hn", 2).tolist() == [5, 6, 3, 4]
    assert pooled([[1, 2], [5, 6]], "hn", 1).tolist() == [5, 6]


@pytest.mark.parametrize("seed", range(20))
def test_mean_rounds_once_halves_up(seed: int) -> None:
    random = np.random.default_rng(seed)
    outputs = random.integers(-9, 9, (int(random.integers(1, 8)), 5))
    wanted = [
        floor(Fraction(int(total), len(outputs)) + Fraction(1, 2)) for total in outputs.sum(0)
    ]
    assert pooled(outputs, "mean", 1).tolist() == wanted


@pytest.mark.parametrize(
    ("outputs", "pool", "message"),
    [([[1]], "max", "pool 'max': choose one of last, hn, mean"), ([], "last", "T at least 1")],
)
def test_what_is_no_pool(outputs: Any, pool: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pooled(outputs, pool, 1)


@pytest.mark.parametrize("pool", POOLS)
def test_a_file_carries_it(tmp_path: Path, pool: str) -> None:
    plain = _model()
    model = replace(plain, pool=pool)
    save_model(tmp_path / "m", model)
    found = load_model(tmp_path / "m")
    assert found.pool == pool
    assert found.equals(model)
    assert found.equals(plain) == (pool == "last")
    outputs = np.arange(-12, 12).reshape(2, 12)[:, : plain.output_size]
    assert plain.head is not None
    wanted = plain.head.logits(pooled(outputs, pool, plain.directions))
    assert np.array_equal(found.logits(outputs), wanted)


def test_files_of_before_are_the_same_bytes(tmp_path: Path) -> None:
    save_model(tmp_path / "m", _model())
    assert b"pool" not in (tmp_path / "m").read_bytes()


def test_an_unknown_pool_in_a_file_is_refused(tmp_path: Path) -> None:
    from csb_format.files import sealed
    from csb_format.files.modelfile import _header, _tensors

    header = _header(_model()) | {"pool": "max"}
    (tmp_path / "m").write_bytes(sealed.encode(header, _tensors(_model())))
    with pytest.raises(ModelFileError, match="pool 'max': choose one of"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize("outputs", [None, [[0.5, 1.0]], [[1], [1, 2]], [["a"]]])
def test_what_is_no_array_of_integers_is_refused(outputs: Any) -> None:
    with pytest.raises(TypeError, match=r"outputs are .*: give \(T, D \* R\)"):
        pooled(outputs, "last", 1)
