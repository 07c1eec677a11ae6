from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.parametrizations import orthogonal

from csb_format.csb import UnbalancedError
from csb_format.fixed import Fixed
from csb_format.geometry import Geometry
from csb_format.scales import MAX_ALIGN
from engine.reference import IntegerModel
from pruning.importers.checkpoint import UnsupportedLayerError
from pruning.integers.quantise import lstm_of, quantise
from pruning.integers.self_check import dequantised
from pruning.mask.goals import Goal, goals_for
from pruning.mask.masks import bank_balanced_mask
from pruning.mask.pruner import Pruner
from pruning.mask.views import Banks

LAYOUT: dict[str, Geometry | int] = {"weight_ih_l0": 4, "weight_hh_l0": 4}
FRAMES = [np.linspace(-3, 2.5, 36, dtype=np.float32).reshape(3, 12)]


def layer(bias: bool = True, ih_scale: float = 1.0, hh_scale: float = 1.0) -> nn.LSTM:
    torch.manual_seed(3)
    lstm = nn.LSTM(12, 16, bias=bias)
    with torch.no_grad():
        for name, scale in (("weight_ih_l0", ih_scale), ("weight_hh_l0", hh_scale)):
            weight = getattr(lstm, name)
            weight.mul_(bank_balanced_mask(weight, 4, 1) * scale)
    return lstm


def head() -> nn.Linear:
    torch.manual_seed(4)
    return nn.Linear(16, 5)


@given(
    bits=st.integers(4, 18),
    scales=st.tuples(st.floats(0.1, 30), st.floats(0.5, 30)),
)
def test_weights_are_within_half_an_lsb(bits: int, scales: tuple[float, float]) -> None:
    lstm = layer(True, *scales)
    result = quantise(lstm, head(), LAYOUT, FRAMES, value_bits=bits)
    (made,) = result.model.layers
    for name, csb, fixed in (
        ("weight_ih_l0", made.weight_ih, made.gate_formats("weight_ih")[0]),
        ("weight_hh_l0", made.weight_hh, made.gate_formats("weight_hh")[0]),
    ):
        real = getattr(lstm, name).detach().double().numpy()
        error = np.abs(fixed.dequantise(csb.to_dense()) - real)
        assert error.max() <= fixed.lsb / 2
        assert np.array_equal(csb.to_mask(), real != 0)
        assert fixed.width == csb.geometry.value_bits == bits
    dense = result.model.head
    assert dense is not None
    error = np.abs(dense.weight_format.dequantise(dense.weight) - head().weight.detach().numpy())
    assert error.max() <= dense.weight_format.lsb / 2


def test_formats_and_biases() -> None:
    lstm = layer()
    result = quantise(lstm, head(), LAYOUT, FRAMES, act_bits=12, provenance={"seed": "3"})
    (made,) = result.model.layers
    assert (made.hidden, made.state) == (Fixed(12, 11), Fixed(14, 9))
    assert made.input == Fixed(12, 9)  # 3 needs two integer bits
    biases = (lstm.get_parameter(name).double() for name in ("bias_ih_l0", "bias_hh_l0"))
    summed = sum(biases, torch.zeros(64)).detach().numpy()
    assert np.array_equal(made.bias, made.state.quantise(summed))
    dense = result.model.head
    assert dense is not None
    assert dense.input == made.hidden
    bias = Fixed(48, dense.weight_format.frac + 11).dequantise(dense.bias)
    assert np.allclose(bias, head().bias.detach().numpy(), atol=1e-7, rtol=0)
    assert result.model.provenance == {"seed": "3"}
    assert (result.lowered, set(result.saturations.values())) == ({}, {0})


def test_integer_logits_follow_the_float_head() -> None:
    dense = quantise(layer(), head(), LAYOUT, FRAMES).model.head
    assert dense is not None
    hidden = np.linspace(-0.9, 0.9, 16)
    integers = dense.logits(dense.input.quantise(hidden))
    real = head()(torch.from_numpy(hidden).float()).detach().numpy()
    assert np.allclose(integers * 2.0 ** -(dense.weight_format.frac + 15), real, atol=1e-3)


@given(st.floats(0.05, 100), st.floats(0.5, 100), st.floats(0.02, 50))
def test_products_align_and_weights_keep_their_range(ih: float, hh: float, x: float) -> None:
    result = quantise(
        layer(True, ih, hh), None, LAYOUT, [frames * np.float32(x) for frames in FRAMES]
    )
    (made,) = result.model.layers
    apart = (made.gate_formats("weight_ih")[0].frac + made.input.frac) - (
        made.gate_formats("weight_hh")[0].frac + made.hidden.frac
    )
    assert abs(apart) <= MAX_ALIGN
    assert result.saturations["weight_ih_l0"] == result.saturations["weight_hh_l0"] == 0


def test_lowering_touches_only_the_finer_product_and_is_told() -> None:
    plain = quantise(layer(), None, LAYOUT, FRAMES).model.layers[0]
    result = quantise(layer(hh_scale=2.0**12), None, LAYOUT, FRAMES)
    (made,) = result.model.layers
    assert made.gate_formats("weight_hh")[0].frac == plain.gate_formats("weight_hh")[0].frac - 12
    lowered = plain.gate_formats("weight_ih")[0].frac - made.gate_formats("weight_ih")[0].frac
    assert result.lowered == {"weight_ih_l0": lowered}
    assert (
        made.gate_formats("weight_ih")[0].frac + made.input.frac
        == made.gate_formats("weight_hh")[0].frac + 15 + 7
    )


def test_weights_that_alignment_would_erase_are_refused() -> None:
    with pytest.raises(ValueError, match=r"weight_ih_l0 of magnitude .* is all zero in .* rescale"):
        quantise(layer(hh_scale=2.0**26), None, LAYOUT, FRAMES)


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        (
            1e30,
            r"^weight_ih_l0 is of magnitude .*e\+29, the largest that 16 bits hold is 1.41e\+14",
        ),
        (1e12, r"^weight_ih_l0 is of magnitude .*, weight_hh_l0 .*, the input of 3: .* smaller w"),
        (1e-30, r"^weight_ih_l0 of magnitude .* all zero in s16.64, .* the weights are too small"),
    ],
)
def test_weights_that_no_format_holds_are_named(scale: float, words: str) -> None:
    lstm = layer()
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.mul_(scale)
    with pytest.raises(ValueError, match=words):
        quantise(lstm, None, LAYOUT, FRAMES)


def test_no_bias_is_zeros() -> None:
    linear = nn.Linear(16, 5, bias=False)
    model = quantise(layer(bias=False), linear, LAYOUT, FRAMES).model
    assert not model.layers[0].bias.any()
    assert model.head is not None
    assert not model.head.bias.any()


def test_saturated_biases_are_counted() -> None:
    lstm = layer()
    with torch.no_grad():
        lstm.get_parameter("bias_ih_l0")[:3] = 40.0
    result = quantise(lstm, None, LAYOUT, FRAMES)
    assert result.saturations["bias"] == 3
    assert (result.model.layers[0].bias[:3] == Fixed(18, 13).max).all()


def test_a_huge_head_bias_lowers_the_head_instead_of_saturating() -> None:
    linear = head()
    with torch.no_grad():
        linear.bias[0] = 2.0**24
    result = quantise(layer(), linear, LAYOUT, FRAMES)
    assert result.saturations["head.bias"] == 0
    assert list(result.lowered) == ["head.weight"]


def test_pruner_geometries_fit() -> None:
    lstm = nn.LSTM(12, 16)
    goals = {"weight_ih_l0": Goal(Banks(width=5), keep=2), "weight_hh_l0": Goal(Banks(4), 0.75)}
    pruner = Pruner(lstm, goals)
    model = quantise(pruner.squash(), None, pruner.geometries(), FRAMES, value_bits=8).model
    assert model.layers[0].weight_ih.geometry == Geometry(64, 12, 3, 2, 8, 5)
    assert model.layers[0].weight_hh.geometry == Geometry(64, 16, 4, 1, 8)
    assert np.array_equal(model.layers[0].weight_ih.to_mask(), pruner.mask("weight_ih_l0").numpy())


def test_a_kept_zero_needs_the_mask() -> None:
    lstm = layer()
    masks = {name: getattr(lstm, name) != 0 for name in LAYOUT}
    with torch.no_grad():
        lstm.get_parameter("weight_hh_l0")[5] = 0
    with pytest.raises(UnbalancedError, match=r"weight_hh_l0: row 5, bank 0 .*give the masks"):
        quantise(lstm, None, LAYOUT, FRAMES)
    model = quantise(lstm, None, LAYOUT, FRAMES, masks=masks).model
    assert np.array_equal(model.layers[0].weight_hh.to_mask(), masks["weight_hh_l0"].numpy())


def test_unbalanced_names_parameter_row_and_bank() -> None:
    lstm = layer()
    with torch.no_grad():
        lstm.get_parameter("weight_ih_l0")[7, 3:6] = 0.1
    with pytest.raises(UnbalancedError, match="weight_ih_l0: row 7, bank 1 keeps 3 weights, exp"):
        quantise(lstm, None, LAYOUT, FRAMES)


def test_a_geometry_of_another_count_is_unbalanced() -> None:
    layout = {**LAYOUT, "weight_hh_l0": Geometry(64, 16, 4, 2)}
    with pytest.raises(UnbalancedError, match="weight_hh_l0: row 0, bank 0 keeps 1 weights, exp"):
        quantise(layer(), None, layout, FRAMES)


def test_a_geometry_of_another_shape() -> None:
    layout = {**LAYOUT, "weight_hh_l0": Geometry(32, 16, 4, 1)}
    with pytest.raises(ValueError, match=r"weight_hh_l0: .*does not fit weights of shape 64 x 16"):
        quantise(layer(), None, layout, FRAMES)


OPTIONS = [
    {"num_layers": 2},
    {"bidirectional": True},
    {"proj_size": 4},
    {"num_layers": 3, "bias": False, "dropout": 0.5, "batch_first": True},
    {"num_layers": 2, "bidirectional": True, "proj_size": 4, "bias": False},
]


def network(**options: Any) -> tuple[nn.LSTM, dict[str, Geometry | int]]:
    torch.manual_seed(3)
    lstm = nn.LSTM(12, 16, **options)
    names = [name for name, _ in lstm.named_parameters() if name.startswith("weight")]
    with torch.no_grad():
        for name in names:
            weight = lstm.get_parameter(name)
            weight.mul_(bank_balanced_mask(weight, 2, 2))
    return lstm, dict.fromkeys(names, 2)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("per_gate", [False, True])
def test_every_option_packs_and_holds_the_weights(options: dict[str, Any], per_gate: bool) -> None:
    lstm, layout = network(**options)
    model = quantise(lstm, None, layout, FRAMES, per_gate=per_gate).model
    assert model.directions == 1 + lstm.bidirectional
    assert len(model.layers) == lstm.num_layers * model.directions
    same = dequantised(model)
    for name in layout:
        real, stored = (getattr(of, name).detach().double() for of in (lstm, same))
        assert torch.allclose(stored, real, atol=2**-16, rtol=0), name
        assert torch.equal(stored != 0, real != 0), name
    ends = [name.removeprefix("weight_ih") for name in layout if name.startswith("weight_ih")]
    for end, made in zip(ends, model.layers, strict=True):
        assert made.bias.any() == lstm.bias, end
        assert (made.projection is not None) == bool(lstm.proj_size), end


@pytest.mark.parametrize("options", OPTIONS)
def test_integers_of_every_option_follow_torch(options: dict[str, Any]) -> None:
    lstm, layout = network(**options)
    lstm.eval()
    integers = IntegerModel(quantise(lstm, None, layout, FRAMES).model)
    trace = integers.run(integers.quantise(FRAMES))[0]
    frames = torch.from_numpy(FRAMES[0])
    axis = 0 if lstm.batch_first else 1
    real = lstm(frames.unsqueeze(axis))[0].squeeze(axis).detach().numpy()
    last = integers.model.layers[-1]
    assert np.abs(last.output.dequantise(trace.output) - real).max() < 1e-3


def test_each_level_takes_what_the_one_before_gives() -> None:
    lstm, layout = network(num_layers=2, bidirectional=True, proj_size=4)
    model = quantise(lstm, nn.Linear(8, 3), layout, FRAMES).model
    first, second = model.levels
    assert first[0].output == first[1].output == second[0].input == second[1].input
    assert first[0].output != first[0].hidden  # the projected range is far below 1
    assert model.head is not None
    assert model.head.input == second[0].output == second[1].output


def test_gates_take_their_own_formats() -> None:
    lstm, layout = network()
    with torch.no_grad():
        for name in layout:
            lstm.get_parameter(name)[16:32] *= 16
    made = quantise(lstm, None, layout, FRAMES, value_bits=8, per_gate=True).model.layers[0]
    i, f, g, o = made.gate_formats("weight_hh")
    assert f.frac <= min(i.frac, g.frac, o.frac) - 3
    coarse = quantise(lstm, None, layout, FRAMES, value_bits=8).model.layers[0]
    assert set(coarse.gate_formats("weight_hh")) == {f}


def test_products_out_of_reach_are_named_by_layer() -> None:
    lstm, layout = network(num_layers=2)
    with torch.no_grad():
        lstm.get_parameter("weight_hh_l1").mul_(2.0**14)
        lstm.get_parameter("weight_ih_l1").mul_(2.0**14)
    with pytest.raises(ValueError, match=r"^weight_ih_l1 is of magnitude 4.*e\+03, .*smaller"):
        quantise(lstm, None, layout, FRAMES, value_bits=4)


def test_a_missing_matrix_of_a_further_layer_is_named() -> None:
    lstm, layout = network(num_layers=2, bidirectional=True)
    del layout["weight_hh_l1_reverse"]
    with pytest.raises(ValueError, match="layout lacks weight_hh_l1_reverse: give its Geometry or"):
        quantise(lstm, None, layout, FRAMES)


@pytest.mark.parametrize("bias", [True, False])
def test_an_lstm_cell_is_an_lstm_of_one_layer(bias: bool) -> None:
    torch.manual_seed(0)
    cell = nn.LSTMCell(12, 16, bias=bias)
    pruner = Pruner(cell, goals_for(cell, Goal(Banks(4), keep=1)))
    plain, masks = pruner.squash(), pruner.masks()
    model = quantise(plain, None, pruner.geometries(), FRAMES, masks=masks).model
    layout = {f"{name}_l0": shape for name, shape in pruner.geometries().items()}
    assert quantise(lstm_of(plain), None, layout, FRAMES).model.equals(model)
    integers, state = IntegerModel(model), None
    for frame in torch.from_numpy(FRAMES[0]):
        state = plain(frame[None], state)
    assert state is not None
    hidden = integers.run(integers.quantise(FRAMES))[0].hidden[-1]
    assert np.abs(hidden * 2.0**-15 - state[0][0].detach().numpy()).max() < 1e-3


def test_a_parametrised_cell() -> None:
    cell = nn.LSTMCell(12, 16)
    orthogonal(cell, "weight_hh")
    with pytest.raises(UnsupportedLayerError, match=r"call parametrize\.remove_parametrizations"):
        quantise(cell, None, {"weight_ih": 4, "weight_hh": 4}, FRAMES)


def test_a_mask_of_another_shape() -> None:
    masks = {"weight_hh_l0": torch.ones(64, 12, dtype=torch.bool)}
    with pytest.raises(ValueError, match=r"weight_hh_l0: mask of .*\(64, 12\) for weights of"):
        quantise(layer(), None, LAYOUT, FRAMES, masks=masks)


def test_the_head_of_two_directions() -> None:
    lstm, layout = network(bidirectional=True)
    with pytest.raises(ValueError, match=r"head takes 16 .*bidirectional=True: give .*features=32"):
        quantise(lstm, nn.Linear(16, 5), layout, FRAMES)


def test_another_cell_is_unsupported() -> None:
    with pytest.raises(UnsupportedLayerError, match=r"layer of type RNN: train torch\.nn\.LSTM"):
        quantise(nn.RNN(12, 16), None, LAYOUT, FRAMES)  # type: ignore[arg-type]


def test_a_parametrised_layer_is_sent_to_squash() -> None:
    lstm = layer()
    orthogonal(lstm, "weight_hh_l0")
    with pytest.raises(UnsupportedLayerError, match=r"quantise what squash\(\) returns"):
        quantise(lstm, None, LAYOUT, FRAMES)


@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_not_finite_names_the_parameter(name: str, bad: float) -> None:
    lstm = layer()
    with torch.no_grad():
        getattr(lstm, name)[2] = bad
    with pytest.raises(ValueError, match=rf"{name} at \(2,.*\) is {bad}: train to finite weights"):
        quantise(lstm, None, LAYOUT, FRAMES)


def test_a_head_of_another_size() -> None:
    with pytest.raises(ValueError, match="head takes 15 features, the LSTM has hidden_size 16"):
        quantise(layer(), nn.Linear(15, 5), LAYOUT, FRAMES)


def test_a_matrix_missing_from_the_layout() -> None:
    with pytest.raises(ValueError, match="layout lacks weight_hh_l0: give its Geometry or"):
        quantise(layer(), None, {"weight_ih_l0": 4}, FRAMES)


def test_empty_calibration() -> None:
    with pytest.raises(ValueError, match="calibration of 0 sequences: give some"):
        quantise(layer(), None, LAYOUT, [])


@pytest.mark.parametrize("bad", [np.zeros((3, 11)), np.zeros(12), np.full((3, 12), np.nan)])
def test_bad_calibration(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"calibration sequence 1 of shape .*\(frames, 12\)"):
        quantise(layer(), None, LAYOUT, [*FRAMES, bad])


@pytest.mark.parametrize("bits", [3, 19])
def test_widths_out_of_range(bits: int) -> None:
    with pytest.raises(ValueError, match=f"act_bits = {bits}: must be"):
        quantise(layer(), None, LAYOUT, FRAMES, act_bits=bits)
    with pytest.raises(ValueError, match=f"value_bits = {bits}: must be"):
        quantise(layer(), None, LAYOUT, FRAMES, value_bits=bits)
