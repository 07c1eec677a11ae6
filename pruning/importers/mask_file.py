"""Masks that a tool keeps in a file of their own: NNI, ``torch.ao.pruning``, plain ones."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .checkpoint import CheckpointError
from .imported import as_mask

__all__ = ["MaskFile", "find_masks", "plain_masks"]


@dataclass(frozen=True, eq=False)
class MaskFile:
    """Masks by parameter name.

    Parameters
    ----------
    masks : dict of str to bool Tensor
        Of any shape; biases may have masks too.
    source : str
        The tool.
    notes : tuple of str
        Masks of other things than parameters.
    """

    masks: dict[str, Tensor]
    source: str
    notes: tuple[str, ...] = ()

    def without(self, names: Collection[str]) -> MaskFile:
        """All but the masks of parameters that are not read, told."""
        plain = {re.sub(r"(_orig|\.mask|_mask)$", "", name) for name in names}
        left = [name for name in self.masks if name in plain]
        if not left:
            return self
        kept = {name: mask for name, mask in self.masks.items() if name not in plain}
        return MaskFile(kept, self.source, (*self.notes, f"masks left out: {', '.join(left)}"))


def find_masks(content: Mapping[str, Any]) -> MaskFile | None:
    """The masks of a file that holds masks alone; None if it holds something else."""
    if _is_sparsifier(content):
        return _sparsifier(content["state"])
    if content and all(_is_targets(value) for value in content.values()):
        return _nni(content)
    return None


def plain_masks(content: Mapping[str, Any]) -> MaskFile:
    """Masks of a flat dictionary: parameter name to tensor.

    Raises
    ------
    CheckpointError
        For a value that is no tensor of zeros and ones.
    """
    for name, value in content.items():
        if not isinstance(value, Tensor):
            raise CheckpointError(
                f"mask file holds {name!r} of type {type(value).__name__}: save a dictionary of "
                "parameter names and mask tensors"
            )
    names = {name: re.sub(r"[._]mask$", "", name) for name in content}
    return MaskFile({names[n]: as_mask(names[n], mask) for n, mask in content.items()}, "masks")


def _is_sparsifier(content: Mapping[str, Any]) -> bool:
    state = content.get("state")
    return (
        "groups" in content and isinstance(state, Mapping) and all(map(_has_mask, state.values()))
    )


def _has_mask(state: object) -> bool:
    return isinstance(state, Mapping) and isinstance(state.get("mask"), Tensor)


def _sparsifier(state: Mapping[str, Any]) -> MaskFile:
    masks = {name: as_mask(name, entry["mask"]) for name, entry in state.items()}
    return MaskFile(masks, "torch.ao.pruning sparsifier")


def _is_targets(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(k, str) and (v is None or _is_mask(v)) for k, v in value.items())
    )


def _is_mask(value: object) -> bool:
    if not isinstance(value, Tensor):
        return False
    # What is no dense tensor is taken for a mask here, and refused by name when it is read.
    odd = value.is_meta or value.is_quantized or value.layout != torch.strided
    return odd or bool(((value == 0) | (value == 1)).all())


def _nni(content: Mapping[str, Mapping[str, Tensor | None]]) -> MaskFile:
    masks, notes = {}, []
    for module, targets in content.items():
        for target, mask in targets.items():
            name = f"{module}.{target}" if module else target
            # NNI 3 also masks inputs and outputs, which are no parameters.
            if target.startswith("_"):
                notes.append(f"{name}: a mask of activations, left out")
            elif mask is not None:
                masks[name] = as_mask(name, torch.as_tensor(mask))
    return MaskFile(masks, "NNI masks", tuple(notes))
