from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from csb_format.model import Model
from pruning.integers.quantise import quantise
from pruning.integers.self_check import (
    STAGES,
    SelfCheckError,
    StageError,
    adding,
    dequantised,
    self_check,
)
from pruning.mask.masks import bank_balanced_mask

OPTIONS: list[dict[str, Any]] = [
    {},
    {"num_layers": 2, "bidirectional": True, "proj_size": 4, "bias": False},
]


def frames() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((length, 6)) for length in (7, 3, 11)]


def networks(**options: Any) -> tuple[nn.LSTM, nn.LSTM, nn.Linear]:
    """Dense, pruned, head."""
    torch.manual_seed(2)
    lstm, dense = nn.LSTM(6, 16, **options), nn.LSTM(6, 16, **options)
    dense.load_state_dict(lstm.state_dict())
    with torch.no_grad():
        for name, parameter in lstm.named_parameters():
            if name.startswith("weight"):
                parameter.mul_(bank_balanced_mask(parameter, 2, 2))
    width = (lstm.proj_size or 16) * (1 + lstm.bidirectional)
    return dense, lstm, nn.Linear(width, 3)


def packed(lstm: nn.LSTM, head: nn.Linear | None, **options: Any) -> Model:
    names = [name for name, _ in lstm.named_parameters() if name.startswith("weight")]
    return quantise(lstm, head, dict.fromkeys(names, 2), frames(), **options).model


@pytest.mark.parametrize("options", OPTIONS)
def test_stages_of_a_pruned_network(options: dict[str, Any]) -> None:
    _, lstm, head = networks(**options)
    rows = self_check(lstm, head, packed(lstm, head), frames(), bound=0.02)
    layers = [f"layer {n}" for n in range(lstm.num_layers)]
    assert [(r.stage, r.output) for r in rows] == [
        (s, o) for s in STAGES for o in [*layers, "head"]
    ]
    by_stage = {stage: [r for r in rows if r.stage == stage] for stage in STAGES}
    assert {row.max_error for row in by_stage["pruned"]} == {0.0}
    assert all(0 < row.rms_error <= row.max_error < 1e-3 for row in by_stage["weights"])
    # Piecewise activations and 16-bit states add to what the weights lost.
    assert all(row.rms_error < 2e-3 for row in by_stage["integer"])
    assert by_stage["integer"][0].rms_error > by_stage["weights"][0].rms_error


def test_against_the_dense_network_pruning_is_seen() -> None:
    dense, lstm, head = networks()
    rows = self_check(dense, head, packed(lstm, head), frames(), bound=None)
    assert rows[0].stage == "pruned"
    assert rows[0].relative > 0.1
    with pytest.raises(SelfCheckError, match=r"stage pruned, layer 0: .* above 10%: fine-tune"):
        self_check(dense, head, packed(lstm, head), frames(), bound=0.1)


def test_coarse_weights_fail_at_their_stage() -> None:
    _, lstm, _ = networks()
    model = packed(lstm, None, value_bits=4)
    with pytest.raises(SelfCheckError, match=r"stage weights, layer 0: .* use more value bits"):
        self_check(lstm, None, model, frames(), bound=0.005)


def test_coarse_activations_fail_at_their_stage() -> None:
    _, lstm, _ = networks()
    with torch.no_grad():  # multiples of the coarse bias format: weights lose nothing
        for name in ("bias_ih_l0", "bias_hh_l0"):
            lstm.get_parameter(name).zero_()
    model = packed(lstm, None, act_bits=6)
    with pytest.raises(SelfCheckError, match=r"stage integer, layer 0: .* more activation bits"):
        self_check(lstm, None, model, frames(), bound=0.02)


def test_a_wrong_bias_is_found() -> None:
    _, lstm, _ = networks()
    model = packed(lstm, None)
    with torch.no_grad():
        lstm.get_parameter("bias_ih_l0")[20] += 3
    with pytest.raises(SelfCheckError, match="stage weights, layer 0"):
        self_check(lstm, None, model, frames())


def test_dequantised_weights_are_the_integers() -> None:
    _, lstm, _ = networks(num_layers=2, proj_size=4)
    model = packed(lstm, None, per_gate=True)
    plain = dequantised(model)
    made = model.layers[1]
    assert made.projection is not None
    fixed = made.projection.weight_format
    stored = plain.get_parameter("weight_hr_l1").detach().numpy()
    assert np.array_equal(stored, fixed.dequantise(made.projection.weight.to_dense()))


def test_another_network_is_refused() -> None:
    _, lstm, _ = networks()
    with pytest.raises(ValueError, match="give the LSTM that the model was made from"):
        self_check(nn.LSTM(6, 8), None, packed(lstm, None), frames())


def test_nothing_to_compare() -> None:
    _, lstm, _ = networks()
    for given in ([], [np.zeros((0, 6))]):
        with pytest.raises(ValueError, match="no frames to compare: give sequences of at least"):
            self_check(lstm, None, packed(lstm, None), given)


def test_a_stage_is_named_only_where_it_adds_to_the_one_before() -> None:
    rows = [
        StageError(s, "layer 0", 1.0, 1.0, r) for s, r in zip(STAGES, (0, 0.3, 0.31), strict=True)
    ]
    assert [row.stage for row in adding(rows, 0.05)] == ["weights"]
    rows[2] = StageError("integer", "layer 0", 1.0, 1.0, 0.6)
    assert [row.stage for row in adding(rows, 0.05)] == ["weights", "integer"]


@pytest.mark.parametrize(("bits", "more"), [(16, True), (18, False)])
def test_no_more_bits_than_there_are_are_asked_for(bits: int, more: bool) -> None:
    _, lstm, _ = networks()
    model = packed(lstm, None, act_bits=bits, value_bits=bits)
    for stage in ("weights", "integer"):
        told = StageError(stage, "layer 0", 1.0, 1.0, 1.0).mend_of(model)
        assert ("more" in told) == more
