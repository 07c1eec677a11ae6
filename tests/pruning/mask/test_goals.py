"""What was asked of a matrix, what it is, and what it is packed in."""

import numpy as np
import pytest
import torch
from torch import nn

from csb_format.geometry import Geometry
from pruning.integers.quantise import quantise
from pruning.mask.goals import Goal, goals_for, n_of_m
from pruning.mask.pruner import Pruner
from pruning.mask.schedule import Linear
from pruning.mask.views import Banks, Blocks, Rows, Unstructured, View, row_balanced


def test_report_sets_requested_beside_achieved() -> None:
    goals = goals_for(nn.LSTM(12, 16), Goal(Banks(8), 0.875, tolerance=1.0))
    pruner = Pruner(nn.LSTM(12, 16), goals, Linear(0, 1))
    assert [r.achieved for r in pruner.report()] == [0.0, 0.0]
    assert [g.nonzeros for g in pruner.geometries(unfinished=True).values()] == [2, 2]
    pruner.step()
    first, second = pruner.report()
    assert [first.name, second.name] == list(goals)
    assert (first.requested, first.achieved) == (0.875, 0.5)  # 12 columns: 6 banks of 2, k = 1
    assert first.note == (
        "weight_ih_l0: 87.50% asked, 50.00% is the most with 1 of 2 in every bank or group; "
        "choose larger ones (fewer banks)"
    )


def test_a_request_between_two_counts_is_not_called_unreachable() -> None:
    pruner = Pruner(nn.LSTM(12, 16), {"weight_hh_l0": Goal(Banks(2), 0.7)})
    (report,) = pruner.report()
    assert (report.achieved, report.note) == (0.75, "")


def test_what_a_request_comes_to_alone() -> None:
    shared = Goal(Banks(2), keep=6, asked=0.7)  # all of a bank: the weights went elsewhere
    pruner = Pruner(nn.LSTM(12, 16), {"weight_ih_l0": shared})
    (report,) = pruner.report()
    assert (report.requested, report.achieved) == (0.7, 0.0)
    assert report.alone == pytest.approx(1 - 2 / 6)
    few = Goal(Banks(2), keep=6, asked=0.0001)
    assert Pruner(nn.LSTM(12, 16), {"weight_ih_l0": few}).report()[0].alone == 0.0


def test_a_goal_in_units_asks_for_what_they_come_to() -> None:
    (report,) = Pruner(nn.LSTM(12, 16), {"weight_ih_l0": n_of_m(2, 4)}).report()
    assert (report.requested, report.achieved, report.note) == (0.5, 0.5, "")


@pytest.mark.parametrize("view", [Blocks(2, 2), Rows(), Unstructured()])
def test_only_banks_are_packed(view: View) -> None:
    pruner = Pruner(nn.LSTM(12, 16), {"weight_hh_l0": Goal(view, 0.5)})
    with pytest.raises(ValueError, match=f"weight_hh_l0 is pruned by {view}: only banks"):
        pruner.geometries()


def test_geometries_of_every_kind_of_banks() -> None:
    goals = {
        "weight_ih_l0": Goal(Banks(width=5), keep=2),
        "weight_hh_l0": Goal(row_balanced(), keep=3),
        "weight_hr_l0": Goal(Banks(8), keep=1),
    }
    assert Pruner(nn.LSTM(12, 16, proj_size=8), goals).geometries(value_bits=8) == {
        "weight_ih_l0": Geometry(64, 12, 3, 2, 8, 5),
        "weight_hh_l0": Geometry(64, 8, 1, 3, 8),
        "weight_hr_l0": Geometry(8, 16, 8, 1, 8),
    }


def test_every_layer_has_banks_of_its_own_down_to_the_integers() -> None:
    torch.manual_seed(0)
    lstm = nn.LSTM(12, 16, num_layers=2)
    goals = goals_for(lstm, Goal(Banks(4), keep=2)) | {
        "weight_ih_l1": Goal(Banks(2), 0.75),
        "weight_hh_l1": Goal(Banks(width=8), keep=3),
    }
    pruner = Pruner(lstm, goals)
    frames = [np.linspace(-1, 1, 36).reshape(3, 12)]
    first, second = quantise(pruner.squash(), None, pruner.geometries(), frames).model.layers
    assert [m.geometry.banks for m in (first.weight_ih, first.weight_hh)] == [4, 4]
    assert second.weight_ih.geometry == Geometry(64, 16, 2, 2)
    assert second.weight_hh.geometry == Geometry(64, 16, 2, 3)
    for name, mask in pruner.masks().items():
        layer = first if name.endswith("l0") else second
        packed = layer.weight_ih if "ih" in name else layer.weight_hh
        assert np.array_equal(packed.to_mask(), mask.numpy())
