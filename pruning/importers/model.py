"""The one entrance for files of other tools."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from csb_format.extras import install

from .checkpoint import CheckpointError
from .files import kind_of, read_safetensors, read_torch
from .imported import Imported
from .mask_file import MaskFile, find_masks, plain_masks
from .state_dict import resolve, unwrap

__all__ = ["import_model"]

_NO_MASKS = MaskFile({}, "")


def import_model(
    path: str | os.PathLike[str], masks: str | os.PathLike[str] | None = None
) -> Imported:
    """Read weights and masks of any supported tool; what it is, the content tells.

    Nothing in a file is executed: pickles are read by ``torch.load(weights_only=True)``.

    Parameters
    ----------
    path : path
        A state dict (``torch.save`` or safetensors), alone or as ``state_dict``,
        ``model_state_dict`` or ``model`` of a training checkpoint; with masks as
        ``torch.nn.utils.prune``, ``torch.ao.pruning`` or Sparseflow keep them, or with
        zeros. Or an ONNX model with LSTM, GRU, Gemm and MatMul nodes. Or NNI masks or a
        sparsifier's state alone: then ``state_dict`` is empty.
    masks : path, optional
        Masks that are kept in a file of their own: NNI's ``{module: {"weight": mask}}``,
        ``sparsifier.state_dict()`` of ``torch.ao.pruning``, or ``{parameter: mask}``.

    Returns
    -------
    Imported

    Raises
    ------
    CheckpointError
        For a file that cannot be read safely, or a mask that is missing, not of zeros and
        ones, of another shape, or contradicted by a nonzero weight outside it.
    UnsupportedLayerError
        Naming the tensor or node of what cannot be imported.
    """
    outside = _NO_MASKS if masks is None else _read_masks(Path(masks))
    file = Path(path)
    kind = kind_of(file)
    found = _import_onnx(file, outside) if kind == "onnx" else _import_tensors(file, kind, outside)
    if not found.state_dict and not found.masks:
        raise CheckpointError(f"{file} holds no tensors: save the state dict of a module")
    return found


def _import_tensors(path: Path, kind: str, outside: MaskFile) -> Imported:
    content, metadata = _read(path, kind)
    alone = find_masks(content)
    if alone is None:
        tensors, notes = unwrap(content)
        found = resolve(tensors, outside)
        named = f"{kind}: {found.source}"
        return replace(found, source=named, notes=(*notes, *found.notes), metadata=metadata)
    if outside.masks:
        raise CheckpointError(f"{path} holds masks alone: give the weights first, then the masks")
    matrices = {name: mask for name, mask in alone.masks.items() if mask.ndim == 2}
    note = "masks without weights: what a mask is worth cannot be told"
    return Imported({}, matrices, alone.source, (*alone.notes, note))


def _read_masks(path: Path) -> MaskFile:
    kind = kind_of(path)
    if kind == "onnx":
        raise CheckpointError(f"{path} is an ONNX model: give a file of masks")
    content, _ = _read(path, kind)
    return find_masks(content) or plain_masks(content)


def _read(path: Path, kind: str) -> tuple[dict[str, object], dict[str, str]]:
    return (read_torch(path), {}) if kind == "torch" else read_safetensors(path)


def _import_onnx(path: Path, outside: MaskFile) -> Imported:
    try:
        from .onnx_model import read_onnx
    except ModuleNotFoundError as error:
        told = install(error.name or "onnx")
        raise CheckpointError(f"{path} looks like an ONNX model: {told}") from error
    tensors, notes = read_onnx(path)
    found = resolve(tensors, outside)
    return replace(found, source=f"onnx: {found.source}", notes=(*notes, *found.notes))
