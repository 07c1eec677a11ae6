"""Models: shapes and formats that must agree, the head's exact logits, equality."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from csb_format import Csb, DenseLayer, Fixed, Geometry, LstmLayer, Model

HIDDEN = Fixed(16, 15)
STATE = Fixed(18, 13)
NUMBERS: dict[str, Any] = {"seed": 3}


def matrix(rows: int, columns: int, value_bits: int = 8, seed: int = 0) -> Csb:
    g = Geometry(rows, columns, banks=1, nonzeros=columns, value_bits=value_bits)
    dense = np.random.default_rng(seed).integers(-100, 100, (rows, columns))
    return Csb.pack(dense, g, np.ones((rows, columns), bool))


def layer(inputs: int = 3, hidden: int = 2, **changed: Any) -> LstmLayer:
    parts: dict[str, Any] = {
        "weight_ih": matrix(4 * hidden, inputs),
        "weight_hh": matrix(4 * hidden, hidden, seed=1),
        "bias": np.arange(4 * hidden),
        "input": Fixed(16, 12),
        "hidden": HIDDEN,
        "weight_ih_format": Fixed(8, 7),
        "weight_hh_format": Fixed(8, 6),
        "state": STATE,
    }
    return LstmLayer(**(parts | changed))


def head(**changed: Any) -> DenseLayer:
    parts: dict[str, Any] = {
        "weight": np.array([[1, -2], [3, 4], [-128, 127]]),
        "weight_format": Fixed(8, 6),
        "input": HIDDEN,
        "bias": np.array([10, -20, 1 << 40]),
    }
    return DenseLayer(**(parts | changed))


def test_sizes() -> None:
    assert (layer().input_size, layer().hidden_size) == (3, 2)
    assert (head().input_size, head().output_size) == (2, 3)


def test_arrays_are_copies_and_read_only() -> None:
    bias = np.arange(8)
    made = layer(bias=bias)
    bias[0] = 99
    assert made.bias[0] == 0
    arrays: list[npt.NDArray[Any]] = [made.bias, head().weight, head().bias]
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weight_hh": matrix(6, 2)}, r"weight_hh is 6 x 2: it must be 4H x H, 8 rows"),
        ({"weight_ih": matrix(12, 3)}, r"weight_ih has 12 rows and weight_hh 8"),
        ({"weight_ih_format": Fixed(9, 7)}, r"weight_ih is packed with value_bits 8.*value_bits=9"),
        ({"weight_hh_format": Fixed(7, 6)}, r"weight_hh is packed with value_bits 8.*value_bits=7"),
        ({"bias": np.zeros(7, int)}, r"bias has shape \(7,\): it must be \(8,\)"),
        ({"bias": np.zeros(8)}, r"bias has dtype float64: quantise"),
        ({"bias": np.full(8, 1 << 17)}, r"bias holds 131072 at \(0,\): 18 bits hold -131072 to"),
    ],
)
def test_layer_refusals(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layer(**changed)


def test_logits_are_exact_for_any_leading_axes() -> None:
    h = np.random.default_rng(0).integers(HIDDEN.min, HIDDEN.max + 1, (5, 4, 2))
    exact = h.astype(object) @ head().weight.T.astype(object) + head().bias
    assert head().logits(h).tolist() == exact.tolist()
    assert head().logits(h[0, 0]).tolist() == exact[0, 0].tolist()


@pytest.mark.parametrize(
    ("hidden", "message"),
    [
        (np.zeros((2, 3), int), r"shape \(2, 3\): the last axis must have 2"),
        (np.int64(3), r"shape \(\): the last axis"),
        (np.zeros(2), r"dtype float64: quantise"),
        (np.array([0, 40000]), r"holds 40000 at \(1,\): 16 bits hold"),
    ],
)
def test_logits_refusals(hidden: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        head().logits(hidden)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weight": np.zeros(2, int)}, r"head weight has shape \(2,\): it must be \(outputs, hidd"),
        ({"weight": np.zeros((0, 2), int)}, r"head weight has shape \(0, 2\)"),
        ({"weight": np.full((3, 2), 128)}, r"head weight holds 128 at \(0, 0\): 8 bits hold"),
        ({"weight": np.zeros((3, 2))}, r"head weight has dtype float64"),
        ({"bias": np.zeros(2, int)}, r"head bias has shape \(2,\): it must be \(3,\)"),
        ({"bias": np.full(3, 1 << 47)}, r"head bias holds 140737488355328 at \(0,\): 48 bits"),
        ({"weight_format": Fixed(48, 0), "input": Fixed(16, 0)}, r"48 bits and inputs of 16 bits"),
    ],
)
def test_head_refusals(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        head(**changed)


def test_widest_head_does_not_overflow() -> None:
    wide = Fixed(31, 0)
    extreme = DenseLayer(np.full((1, 3), wide.min), wide, wide, np.array([(1 << 47) - 1]))
    assert extreme.logits(np.full(3, wide.min)).tolist() == [3 * (1 << 60) + (1 << 47) - 1]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Model(()), r"a model of 0 layers"),
        (lambda: Model((layer(), layer())), r"layer 1 takes 3 elements, the layer before gives 2"),
        (lambda: Model((layer(), layer(2))), r"layer 1 takes format s16\.12, .* gives s16\.15"),
        (lambda: Model((layer(hidden=5),), head()), r"head takes 2 elements, .* gives 5"),
        (lambda: Model((layer(),), head(input=Fixed(16, 14))), r"head takes format s16\.14"),
        (lambda: Model((layer(),), None, NUMBERS), r"provenance 'seed': 3: both must be str"),
    ],
)
def test_model_refusals(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_equality_sees_every_part() -> None:
    model = Model((layer(), layer(2, input=HIDDEN)), head(), {"seed": "1"})
    same = Model((layer(), layer(2, input=HIDDEN)), head(), {"seed": "1"})
    others = [
        Model((layer(),), head(), {"seed": "1"}),
        Model((layer(), layer(2, input=HIDDEN)), None, {"seed": "1"}),
        Model((layer(), layer(2, input=HIDDEN)), head(), {"seed": "2"}),
        Model((layer(), layer(2, input=HIDDEN)), head(bias=np.array([0, 0, 0])), {"seed": "1"}),
        Model((layer(), layer(2, input=HIDDEN)), head(weight_format=Fixed(8, 5)), {"seed": "1"}),
        Model((layer(bias=np.zeros(8, int)), layer(2, input=HIDDEN)), head(), {"seed": "1"}),
        Model((layer(input=Fixed(16, 11)), layer(2, input=HIDDEN)), head(), {"seed": "1"}),
        Model(
            (layer(weight_ih=matrix(8, 3, seed=9)), layer(2, input=HIDDEN)), head(), {"seed": "1"}
        ),
    ]
    assert model.equals(same)
    assert [model.equals(other) or other.equals(model) for other in others] == [False] * 8


def test_models_without_head_can_be_equal() -> None:
    assert Model((layer(),)).equals(Model((layer(),)))


@pytest.mark.parametrize("target", ["gpu", None, ["cpu"]])
def test_a_target_that_is_not_there(target: Any) -> None:
    with pytest.raises(ValueError, match=r"target .*: there is "):
        Model((layer(),), None).on(target)
