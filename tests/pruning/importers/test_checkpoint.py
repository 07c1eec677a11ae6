from __future__ import annotations

from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import nn

from pruning.importers.checkpoint import save_tensors, save_weights


def test_masks_and_metadata_lie_beside_the_weights(tmp_path: Path) -> None:
    lstm, mask = nn.LSTM(6, 8), torch.eye(32, 8).bool()
    path = tmp_path / "m.safetensors"
    save_weights(path, lstm, {"weight_hh_l0": mask}, {"note": "text"})
    found = safetensors.torch.load_file(path)
    assert set(found) == {*lstm.state_dict(), "weight_hh_l0.mask"}
    assert torch.equal(found["weight_hh_l0.mask"], mask)
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata() == {"note": "text"}
    assert [each.name for each in tmp_path.iterdir()] == ["m.safetensors"]


def test_tied_and_transposed_tensors_are_stored_for_each_name(tmp_path: Path) -> None:
    weight = torch.arange(12.0).reshape(3, 4)
    save_tensors(tmp_path / "m.safetensors", {"a": weight, "b": weight, "c": weight.T})
    found = safetensors.torch.load_file(tmp_path / "m.safetensors")
    assert torch.equal(found["a"], weight)
    assert torch.equal(found["b"], weight)
    assert torch.equal(found["c"], weight.T)
