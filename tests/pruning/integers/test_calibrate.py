import json
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn

from compiler.array.needs import design_for
from csb_format import Model
from csb_format.fixed import Fixed
from csb_format.model import GATE_ORDER
from pruning.importers.checkpoint import UnsupportedLayerError
from pruning.integers.calibrate import (
    calibrate,
    calibrated,
    count_saturations,
    float_levels,
    measure_ranges,
    padded,
)
from pruning.integers.choice import choose_formats
from pruning.integers.quantise import quantise


def sequences(scale: float = 1.0, lengths: Sequence[int] = (4, 9, 2)) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [scale * rng.standard_normal((length, 6)) for length in lengths]


def network(**options: int) -> nn.LSTM:
    torch.manual_seed(1)
    return nn.LSTM(6, 8, **options)


def test_counts_cover_every_state_of_every_real_frame() -> None:
    lstm = network(num_layers=2, bidirectional=True, proj_size=3)
    found = calibrate(lstm, sequences(), value_bits=8, act_bits=8).saturations
    frames = 4 + 9 + 2
    assert found["input"].seen == frames * 6
    for end in ("_l0", "_l0_reverse", "_l1", "_l1_reverse"):
        assert {found[f"pre{end}.{gate}"].seen for gate in GATE_ORDER} == {frames * 8}
        assert (found[f"cell{end}"].seen, found[f"output{end}"].seen) == (frames * 8, frames * 3)
        assert found[f"weight_hr{end}"].seen == 24
        assert found[f"weight_hh{end}.g"].seen == 8 * 3


def test_nothing_saturates_in_formats_that_hold_everything() -> None:
    found = calibrate(network(), sequences())
    assert {name: s.clipped for name, s in found.saturations.items() if s.clipped} == {}


def test_one_gate_beyond_16_is_counted_alone() -> None:
    lstm = network()
    with torch.no_grad():
        lstm.get_parameter("bias_ih_l0")[8:16] = 15.0
        lstm.get_parameter("weight_ih_l0")[8:16] = 1.0
    found = calibrate(lstm, [np.ones((5, 6))]).saturations
    assert found["pre_l0.f"].clipped == found["pre_l0.f"].seen == 40
    assert [found[f"pre_l0.{gate}"].clipped for gate in "igo"] == [0, 0, 0]
    assert found["bias_l0"].clipped == 0


def test_a_cell_that_only_counts_up_saturates() -> None:
    lstm = network()
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.zero_()
        lstm.get_parameter("bias_ih_l0")[:] = 12.0
    found = calibrate(lstm, [np.zeros((30, 6))]).saturations["cell_l0"]
    # One more every step: 16 is reached after the 16th, give or take the gates' roundings.
    assert found.clipped in (8 * 14, 8 * 13)
    assert found.share == found.clipped / 240
    assert found.format == "s18.13"


def counter(sequences_of: int, steps: int) -> tuple[nn.LSTM, list[np.ndarray]]:
    """A network of one unit that counts up, and down again: c is the sum of its inputs."""
    lstm = nn.LSTM(1, 1)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.zero_()
        lstm.get_parameter("bias_ih_l0").copy_(
            torch.tensor([12.0, 12.0, 0.0, 12.0])
        )  # all gates are open
        lstm.get_parameter("weight_ih_l0")[2] = 4.0
    way = np.repeat([1.0, -1.0], steps)[:, None]
    return lstm, [way] * sequences_of


@pytest.mark.parametrize(("steps", "reach"), [(10, 16), (24, 32), (60, 64), (110, 128)])
def test_states_reach_as_far_as_the_data_asks_for(steps: int, reach: int) -> None:
    lstm, data = counter(2, steps)
    plain = choose_formats(lstm, None, measure_ranges(lstm, data))
    found = calibrated(lstm, plain, data)
    assert [layer.arithmetic.reach for layer in found.layers] == [reach]
    assert found == plain.reaching(reach)
    assert not count_saturations(lstm, found, data)["cell_l0"].clipped
    layout = {"weight_ih_l0": 1, "weight_hh_l0": 1}
    masks = {name: torch.ones(4, 1, dtype=torch.bool) for name in layout}
    model = quantise(lstm, None, layout, data, masks=masks, reach=None).model
    assert model.layers[0].state == found.layers[0].state


def passing_on() -> nn.LSTM:
    """Two layers of one unit: the first forgets at once, the second adds up what it gives."""
    lstm, (first, _) = nn.LSTM(1, 1, 2), counter(1, 1)
    with torch.no_grad():
        for name, given in first.named_parameters():
            for level in (0, 1):
                lstm.get_parameter(name.replace("l0", f"l{level}")).copy_(given)
        lstm.get_parameter("bias_ih_l0")[1] = -12.0
    return lstm


def test_each_layer_reaches_as_far_as_it_has_to() -> None:
    lstm, (_, data) = passing_on(), counter(2, 60)
    plain = choose_formats(lstm, None, measure_ranges(lstm, data))
    found = calibrated(lstm, plain, data)
    assert [layer.arithmetic.reach for layer in found.layers] == [16, 64]
    clipped = count_saturations(lstm, plain, data)
    assert (clipped["cell_l0"].clipped, clipped["cell_l1"].clipped > 0) == (0, True)
    assert not count_saturations(lstm, found, data)["cell_l1"].clipped
    assert choose_formats(lstm, None, measure_ranges(lstm, data), reach=(16, 64)) == found
    with pytest.raises(
        ValueError, match=r"reach 8, 16, 32 .*: 3 of 2 layers, .* give one for all or one"
    ):
        choose_formats(lstm, None, measure_ranges(lstm, data), reach=(8, 16, 32))
    design = design_for(quantised(lstm, data, None), 4, 1)
    assert (design.reach, design.wider) == (16, (64,))
    assert quantised(lstm, data, (8, 32)).layers[1].arithmetic.reach == 32


def quantised(lstm: nn.LSTM, data: list[np.ndarray], reach: tuple[int, ...] | None) -> Model:
    layout = {name: 1 for name, _ in lstm.named_parameters() if name.startswith("weight")}
    masks = {name: torch.ones(4, 1, dtype=torch.bool) for name in layout}
    return quantise(lstm, None, layout, data, masks=masks, reach=reach).model


def test_a_range_that_costs_more_than_it_gains_is_not_taken() -> None:
    """A cell that only counts up: its tanh is 1 at 16 already, and larger steps are coarser."""
    lstm, data = counter(1, 40)
    up = [frames[:40] for frames in data]
    plain = choose_formats(lstm, None, measure_ranges(lstm, up), act_bits=10)
    assert count_saturations(lstm, plain, up)["cell_l0"].clipped
    assert calibrated(lstm, plain, up) == plain


def test_a_percentile_gives_finer_formats_and_saturates_the_rest() -> None:
    given = [np.append(np.full((99, 6), 0.9), np.full((1, 6), 30.0), axis=0)]
    whole, most = (calibrate(network(), given, percentile=p) for p in (100.0, 98.0))
    assert whole.formats.layers[0].input == Fixed(16, 10)
    assert most.formats.layers[0].input == Fixed(16, 15)
    assert (whole.saturations["input"].clipped, most.saturations["input"].clipped) == (0, 6)


def test_the_percentile_of_weights_is_of_those_kept() -> None:
    lstm = network()
    with torch.no_grad():
        weight = lstm.get_parameter("weight_hh_l0")
        weight.zero_()
        weight[:, 0] = 0.4
        weight[0, 0] = 3.0
    made = calibrate(lstm, sequences(), value_bits=8, percentile=90.0)
    assert made.formats.layers[0].weight_hh == Fixed(8, 8)
    assert made.saturations["weight_hh_l0.i"].clipped == 1


def test_formats_of_projections_come_from_the_data() -> None:
    lstm = network(proj_size=3)
    with torch.no_grad():
        lstm.get_parameter("weight_hr_l0").mul_(40)
    made = calibrate(lstm, sequences())
    largest = float_levels(lstm, *padded(sequences()))[0].abs().max().item()
    assert made.formats.layers[0].output == Fixed.for_range(16, largest)
    assert made.ranges.outputs == (largest,)


def test_float_levels_are_torch() -> None:
    lstm = network(num_layers=2, bidirectional=True, proj_size=3).double()
    frames, lengths = padded(sequences())
    levels = float_levels(lstm, frames, lengths)
    for n, length in enumerate(lengths.tolist()):
        alone = lstm(frames[n, :length])[0]
        assert torch.allclose(levels[-1][n, :length], alone, atol=1e-12)


def test_the_report_is_json() -> None:
    made = calibrate(network(proj_size=3), sequences(), nn.Linear(3, 2), per_gate=True)
    report = json.loads(json.dumps(made.to_dict()))
    assert len(report["layers"][0]["weight_ih"]) == 4
    assert report["saturations"]["cell_l0"]["share"] == 0
    assert report["head"] == str(made.formats.head)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"percentile": 0.0}, "percentile 0.0: must be above 0 and at most 100"),
        ({"percentile": 101.0}, "percentile 101.0: must be above 0 and at most 100"),
        ({"act_bits": 5}, "act_bits = 5: must be 6 to 18"),
        ({"value_bits": 3}, "value_bits = 3: must be 4 to 18"),
    ],
)
def test_bad_options(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calibrate(network(), sequences(), **options)  # type: ignore[arg-type]


def test_nan_weights_are_named() -> None:
    lstm = network(num_layers=2, proj_size=3)
    with torch.no_grad():
        lstm.get_parameter("weight_hr_l1")[1, 2] = float("nan")
    with pytest.raises(ValueError, match=r"weight_hr_l1 at \(1, 2\) is nan: train to finite"):
        calibrate(lstm, sequences())


def test_another_layer_is_refused() -> None:
    with pytest.raises(UnsupportedLayerError, match=r"layer of type RNN: train torch\.nn\.LSTM"):
        calibrate(nn.RNN(6, 8), sequences())  # type: ignore[arg-type]
