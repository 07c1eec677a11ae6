"""A packed model, read back as weights and masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from csb_format import save_model
from csb_format.random_models import random_network
from csb_format.screening.layer import ScreenedLayer
from pruning.doctor.diagnose import diagnose
from pruning.files.network import network_of
from pruning.importers import Cut, import_model
from pruning.importers.checkpoint import CheckpointError
from pruning.importers.packed import PACKED


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_weights_and_masks_are_those_of_the_model(cell: str, tmp_path: Path) -> None:
    projection = 4 if cell == "lstm" else 0
    rng = np.random.default_rng(0)
    model = random_network(rng, 6, 8, 2, (1, 2, 1), 2, projection=projection, head=40, cell=cell)
    assert model.head is not None
    head = ScreenedLayer.of(model.head)
    save_model(tmp_path / "m.safetensors", replace(model, head=head))
    found = import_model(tmp_path / "m.safetensors")
    assert found.source == PACKED
    for n, layer in enumerate(model.layers):
        for one in layer.matrices:
            name = f"lstm.{one.name}_l{n}"
            assert np.array_equal(found.masks[name].numpy(), one.matrix.to_mask())
            real = found.state_dict[name].numpy()
            formats = getattr(layer.shape, f"{one.name}_formats", (layer.shape.weight_hr_format,))
            parts = zip(np.split(real, len(formats)), formats, strict=True)
            whole = np.concatenate([fixed.quantise(part) for part, fixed in parts])
            assert np.array_equal(whole, one.matrix.to_dense())
    weight = found.state_dict["head.weight"].numpy()
    assert np.array_equal(head.weight_format.quantise(weight), head.weight)
    assert f"{head.bits_stored:.2f} bits a weight stored" in found.notes[-1]
    assert len(diagnose(found, (2,), 16, 16).matrices) == len(found.masks) + 1
    with pytest.raises(ValueError, match="it is packed: sparseflow simulate"):
        network_of(found)


def test_it_is_read_whole(tmp_path: Path) -> None:
    model = random_network(np.random.default_rng(0), 6, 8, 2, (1, 2, 1))
    save_model(tmp_path / "m.safetensors", model)
    assert len(import_model(tmp_path / "m.safetensors").notes) == 1
    with pytest.raises(CheckpointError, match="a packed model, which is read whole: give it alone"):
        import_model(tmp_path / "m.safetensors", cut=Cut("encoder"))
