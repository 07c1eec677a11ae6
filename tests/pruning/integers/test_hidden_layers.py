"""Heads of several linear layers: from torch to integers, calibrated, checked and fine-tuned."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sparseflow as sf
from csb_format.heads.mlp import MlpHead
from csb_format.screening.layer import ScreenedLayer
from engine.reference import IntegerModel
from pruning import mlp
from pruning.importers.checkpoint import UnsupportedLayerError
from pruning.integers.formats import Formats
from pruning.integers.qat import Precision, QatClassifier
from pruning.integers.self_check import self_check
from pruning.mlp import linears_of

BANKS = {"weight_ih_l0": 2, "weight_hh_l0": 2}


def network(*sizes: int) -> tuple[nn.LSTM, nn.Sequential, list[Any]]:
    torch.manual_seed(0)
    linears = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    parts = [part for one in linears for part in (one, nn.ReLU())]
    rng = np.random.default_rng(0)
    frames = [rng.normal(size=(n, 6)) for n in (4, 7, 3)]
    return nn.LSTM(6, sizes[0], batch_first=True), nn.Sequential(*parts[:-1]), frames


@pytest.mark.parametrize("sizes", [(8, 9, 4), (8, 5, 7, 3)])
def test_numbers_are_near_the_float_network(sizes: tuple[int, ...]) -> None:
    lstm, head, frames = network(*sizes)
    found = sf.quantise(lstm, head, frames, layout=BANKS)
    model = found.model
    assert isinstance(model.head, MlpHead)
    assert [one.output_size for one in model.head.layers] == list(sizes[1:])
    assert {"head.hidden.0.weight", "head.hidden.0.bias", "head.weight"} <= set(found.saturations)
    for trace, given in zip(IntegerModel(model).run(quantised(model, frames)), frames, strict=True):
        with torch.no_grad():
            wanted = head(lstm(torch.from_numpy(given).float()[None])[0][0, -1]).numpy()
        np.testing.assert_allclose(model.numbers(trace.output), wanted, atol=3e-3)
    errors = {(e.stage, e.output): e.max_error for e in self_check(lstm, head, model, frames)}
    assert 0 < errors["integer", "head"] < 3e-3


def quantised(model: Any, frames: list[Any]) -> list[Any]:
    return IntegerModel(model).quantise(frames)


@pytest.mark.parametrize("bits", [16, 6])
def test_fine_tuning_computes_what_the_integers_do(bits: int) -> None:
    lstm, head, frames = network(8, 9, 4)
    how = Precision(8, 10, head_bits=bits)
    formats = how.formats(lstm, head, frames)
    tuned = QatClassifier(lstm, mlp.MlpHead(*linears_of(head)), formats)
    padded = nn.utils.rnn.pad_sequence([torch.from_numpy(f) for f in frames], batch_first=True)
    logits = tuned(padded, torch.tensor([len(f) for f in frames]))
    model = tuned.to_model(BANKS)
    traces = IntegerModel(model).run(quantised(model, frames))
    wanted = [model.numbers(trace.output) for trace in traces]
    np.testing.assert_array_equal(logits.detach().numpy(), wanted)
    logits.sum().backward()
    assert all(one.weight.grad is not None and one.weight.grad.any() for one in linears_of(head))
    again = Formats.of_model(model)
    assert (again.hidden, again.head) == (formats.hidden, formats.head)
    assert isinstance(model.head, MlpHead)
    assert {one.row_bits for one in model.head.layers} == {bits if bits < 16 else 0}


def test_dropout_between_changes_nothing() -> None:
    lstm, head, frames = network(8, 9, 4)
    with_it = nn.Sequential(head[0], head[1], nn.Dropout(0.5), head[2])
    found = [sf.quantise(lstm, h, frames, layout=BANKS).model for h in (head, with_it)]
    assert found[0].equals(found[1])


def test_what_is_refused() -> None:
    lstm, head, frames = network(8, 9, 4)
    for other, what in (
        (nn.Sequential(head[0], nn.Tanh(), head[2]), "head of Linear, Tanh, Linear"),
        (nn.Sequential(head[0], nn.ReLU()), "head of Linear, ReLU"),
        (nn.Sequential(), "head of nothing"),
        (nn.Tanh(), "head of type Tanh: use torch.nn.Linear, or torch.nn.Sequential"),
    ):
        with pytest.raises(UnsupportedLayerError, match=what):
            sf.quantise(lstm, other, frames, layout=BANKS)
    odd = nn.Sequential(head[0], nn.ReLU(), nn.Linear(5, 2))
    with pytest.raises(ValueError, match="linear layer 1 of the head takes 5 values, the one bef"):
        sf.quantise(lstm, odd, frames, layout=BANKS)
    model = sf.quantise(lstm, head, frames, layout=BANKS).model
    assert isinstance(model.head, MlpHead)
    with pytest.raises(ValueError, match="is not screened as a whole: leave --screen out"):
        ScreenedLayer.of(model.head)
