from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from csb_format import Geometry, UnbalancedError, load_matrices, save_matrices
from pruning.integers.packing import pack_matrices
from pruning.mask.goals import Goal, goals_for
from pruning.mask.masks import bank_balanced_mask
from pruning.mask.pruner import Pruner
from pruning.mask.views import Banks

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...]]] = {
    "gru": (lambda: nn.GRU(12, 8), ("weight_ih_l0", "weight_hh_l0")),
    "gru, two layers, both ways": (
        lambda: nn.GRU(12, 8, num_layers=2, bidirectional=True),
        ("weight_ih_l1_reverse", "weight_hh_l0"),
    ),
    "lstm cell": (lambda: nn.LSTMCell(12, 8), ("weight_ih", "weight_hh")),
    "gru cell": (lambda: nn.GRUCell(12, 8), ("weight_ih", "weight_hh")),
    "projected": (lambda: nn.LSTM(12, 8, proj_size=4), ("weight_hr_l0", "weight_hh_l0")),
    "linear": (lambda: nn.Linear(12, 8), ("weight",)),
}


def pruned(name: str, banks: int = 4) -> tuple[nn.Module, dict[str, int]]:
    torch.manual_seed(1)
    make, names = LAYERS[name]
    module = make()
    with torch.no_grad():
        for key in names:
            weight = module.get_parameter(key)
            weight.mul_(bank_balanced_mask(weight, banks, 1))
    return module, dict.fromkeys(names, banks)


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("name", LAYERS)
def test_file_holds_the_weights_within_half_an_lsb(tmp_path: Path, name: str, bits: int) -> None:
    module, banks = pruned(name)
    save_matrices(tmp_path / "m", pack_matrices(module, banks, value_bits=bits))
    found = load_matrices(tmp_path / "m")
    assert list(found) == sorted(banks)
    for key, packed in found.items():
        real = module.get_parameter(key).detach().double().numpy()
        value = packed.fixed.dequantise(packed.matrix.to_dense())
        assert np.abs(value - real).max() <= packed.fixed.lsb / 2
        assert np.array_equal(packed.matrix.to_mask(), real != 0)
        assert packed.matrix.geometry.nonzeros == 1


def test_kept_zeros_need_the_masks() -> None:
    module, banks = pruned("gru")
    mask = module.get_parameter("weight_hh_l0") != 0
    with torch.no_grad():
        module.get_parameter("weight_hh_l0")[3] = 0
    with pytest.raises(UnbalancedError, match=r"weight_hh_l0: .*row (3|0)"):
        pack_matrices(module, banks)
    packed = pack_matrices(module, banks, masks={"weight_hh_l0": mask})
    assert np.array_equal(packed["weight_hh_l0"].matrix.to_mask(), mask.numpy())


def test_unknown_name_and_nan_are_named() -> None:
    module, _ = pruned("linear")
    with pytest.raises(ValueError, match="'wight' is no matrix of the module: give one of weight"):
        pack_matrices(module, {"wight": 4})
    with pytest.raises(ValueError, match="'bias' is no matrix"):
        pack_matrices(module, {"bias": 4})
    with torch.no_grad():
        module.get_parameter("weight")[2, 3] = torch.nan
    mask = bank_balanced_mask(torch.ones(8, 12), 4, 1)
    with pytest.raises(ValueError, match=r"weight: .*nan"):
        pack_matrices(module, {"weight": 4}, masks={"weight": mask})


@pytest.mark.parametrize("view", [Banks(4), Banks(width=3)])
@pytest.mark.parametrize("name", LAYERS)
def test_what_a_pruner_leaves_is_packed(name: str, view: Banks) -> None:
    torch.manual_seed(1)
    module = LAYERS[name][0]()
    pruner = Pruner(module, goals_for(module, Goal(view, keep=1)))
    with torch.no_grad():  # a kept weight that training left at zero
        for matrix, mask in pruner.masks().items():
            pruner.weight(matrix)[tuple(mask.nonzero()[3])] = 0
    shapes, masks = pruner.geometries(value_bits=8), pruner.masks()
    made = pack_matrices(pruner.squash(), shapes, value_bits=8, masks=masks)
    assert {key: packed.matrix.geometry for key, packed in made.items()} == shapes
    assert all(np.array_equal(made[key].matrix.to_mask(), m.numpy()) for key, m in masks.items())


def test_a_mask_or_geometry_of_another_matrix() -> None:
    module, banks = pruned("gru")
    mask = torch.ones(8, 24, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"weight_hh_l0: mask of .* for weights of shape"):
        pack_matrices(module, banks, masks={"weight_hh_l0": mask})
    with pytest.raises(ValueError, match=r"weight_ih_l0: .* does not fit weights of shape 24 x 12"):
        pack_matrices(module, {"weight_ih_l0": Geometry(24, 8, 4, 1)})
