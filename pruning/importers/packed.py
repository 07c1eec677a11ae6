"""A model that `pack` wrote, as weights and masks: its integers in the units of training."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from csb_format.files.modelfile import load_model
from csb_format.fixed import IntArray
from csb_format.heads.mlp import layer_names, layers_of
from csb_format.model import LstmLayer, Model
from csb_format.screening.layer import ScreenedLayer
from csb_format.screening.planes import plane_bits

from .imported import Imported

__all__ = ["PACKED", "is_packed", "read_packed"]

#: What a packed model is taken for.
PACKED = "packed model"


def is_packed(metadata: Mapping[str, str]) -> bool:
    """Whether a file's metadata is that of a packed model."""
    try:
        header = json.loads(metadata.get("sparseflow", ""))
    except (ValueError, RecursionError):
        return False
    return isinstance(header, dict) and header.get("kind") == "model"


def read_packed(path: Path) -> Imported:
    """Matrices of a packed model and the weights that each keeps; its head, however it is stored.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ModelFileError
        For a damaged file.
    """
    model = load_model(path)
    weights, masks = dict[str, Tensor](), dict[str, Tensor]()
    for n, level in enumerate(model.levels):
        for end, layer in zip(("", "_reverse"), level, strict=False):
            for name, real, kept in _matrices(layer):
                weights[f"lstm.{name}_l{n}{end}"] = real
                masks[f"lstm.{name}_l{n}{end}"] = kept
    notes = ["its integers, in the units of training; biases are left out"]
    if model.head is not None:
        layers = layers_of(model.head)
        for name, layer in zip(layer_names(len(layers)), layers, strict=True):
            real = layer.weight * layer.weight_format.lsb
            weights[f"{name}.weight"] = torch.from_numpy(real)
        notes += _told(model)
    unfit = "it is packed: sparseflow simulate and sf.score tell what its integers are worth"
    return Imported(weights, masks, PACKED, tuple(notes), unfit=unfit)


def _matrices(layer: LstmLayer) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Names, weights and masks."""
    for one in layer.matrices:
        whole: IntArray = one.matrix.to_dense()
        parts = getattr(layer.shape, f"{one.name}_formats", None)
        if parts is None:
            assert layer.shape.weight_hr_format is not None
            parts = (layer.shape.weight_hr_format,)
        lsb = np.repeat([each.lsb for each in parts], len(whole) // len(parts))
        kept = torch.from_numpy(one.matrix.to_mask())
        yield one.name, torch.from_numpy(whole * lsb[:, None]), kept


def _told(model: Model) -> list[str]:
    """How a head lies, if it lies in planes."""
    head = model.head
    if not isinstance(head, ScreenedLayer):
        return []
    planes = " + ".join(map(str, plane_bits(head.bits)))
    return [
        f"head of {head.output_size} x {head.input_size} in planes of {planes} bits: "
        f"{head.bits_stored:.2f} bits a weight stored, norms, biases and places counted"
    ]
