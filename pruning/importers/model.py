"""The one entrance for files of other tools."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format.extras import install

from .checkpoint import CheckpointError
from .cut import Cut, told_aside
from .files import kind_of, read_safetensors, read_torch, refuse_part
from .imported import Imported
from .mask_file import MaskFile, find_masks, plain_masks
from .packed import is_packed, read_packed
from .state_dict import resolve, unwrap

__all__ = ["import_model"]

Array = npt.NDArray[np.floating[Any]]
_NO_MASKS = MaskFile({}, "")


def import_model(
    path: str | os.PathLike[str],
    masks: str | os.PathLike[str] | None = None,
    *,
    matrices: bool = False,
    frames: Sequence[Array] = (),
    cut: Cut | None = None,
) -> Imported:
    """Read weights and masks of any supported tool; what it is, the content tells.

    Nothing in a file is executed: pickles are read by ``torch.load(weights_only=True)``.

    Parameters
    ----------
    path : path
        A state dict (``torch.save`` or safetensors), alone or as ``state_dict``,
        ``model_state_dict`` or ``model`` of a training checkpoint; with masks as
        ``torch.nn.utils.prune``, ``torch.ao.pruning`` or Sparseflow keep them, or with
        zeros. Or a model that ``pack`` wrote, whose matrices alone are read. Or an ONNX model:
        recurrent layers and a linear head, or several with a ReLU between, with
        nothing else on the way that changes values. Or NNI masks or a sparsifier's state
        alone: then ``state_dict`` is empty.
    masks : path, optional
        Masks that are kept in a file of their own: NNI's ``{module: {"weight": mask}}``,
        ``sparsifier.state_dict()`` of ``torch.ao.pruning``, or ``{parameter: mask}``.
    matrices : bool, optional
        Of an ONNX model, read the weights of all LSTM, GRU, Gemm and MatMul nodes, each on its
        own, whatever else the graph computes.
    frames : sequence of float array (T, X), optional
        The first of them are run through an ONNX file and through what was read of it, beside
        random ones.
    cut : Cut, optional
        What of a state dict is read, where it is that of a larger network; by default what the
        file notes, else all of it. The rest is in ``aside``, and told in the notes.

    Returns
    -------
    Imported

    Raises
    ------
    CheckpointError
        For a file that cannot be read safely, or a mask that is missing, not of zeros and
        ones, of another shape, or contradicted by a nonzero weight outside it; for an ONNX
        model that ONNX Runtime computes otherwise.
    UnsupportedLayerError
        Naming the tensor or node of what cannot be imported.
    """
    outside = _NO_MASKS if masks is None else _read_masks(Path(masks))
    file = Path(path)
    kind = kind_of(file)
    if kind == "onnx":
        _refuse_cut(file, cut)
        found = _import_onnx(file, outside, matrices, frames)
    else:
        found = _import_tensors(file, kind, outside, cut)
    if not found.state_dict and not found.masks:
        raise CheckpointError(f"{file} holds no tensors: save the state dict of a module")
    return found


def _refuse_cut(path: Path, cut: Cut | None) -> None:
    if cut:
        raise CheckpointError(
            f"{path} is an ONNX model, {cut.words()} is for state dicts: `sparseflow cut` takes "
            "the array's part out of it"
        )


def _import_tensors(path: Path, kind: str, outside: MaskFile, cut: Cut | None) -> Imported:
    refuse_part(path)
    content, metadata = _read(path, kind)
    if is_packed(metadata):
        _refuse_beside(path, outside, cut)
        return read_packed(path)
    alone = find_masks(content)
    if alone is None:
        tensors, notes = unwrap(content, path.name)
        cut = cut or Cut.noted(metadata) or Cut()
        kept, aside = cut.split(tensors)
        found = resolve(kept, outside.without(aside))
        named = f"{kind}: {found.source}"
        notes = [*told_aside(aside), *notes]
        return replace(
            found, source=named, notes=(*notes, *found.notes), metadata=metadata, cut=cut,
            aside=aside,
        )  # fmt: skip
    if outside.masks:
        raise CheckpointError(f"{path} holds masks alone: give the weights first, then the masks")
    matrices = {name: mask for name, mask in alone.masks.items() if mask.ndim == 2}
    note = "masks without weights: what a mask is worth cannot be told"
    return Imported({}, matrices, alone.source, (*alone.notes, note))


def _refuse_beside(path: Path, outside: MaskFile, cut: Cut | None) -> None:
    if outside.masks or cut:
        raise CheckpointError(f"{path} is a packed model, which is read whole: give it alone")


def _read_masks(path: Path) -> MaskFile:
    kind = kind_of(path)
    if kind == "onnx":
        raise CheckpointError(f"{path} is an ONNX model: give a file of masks")
    content, _ = _read(path, kind)
    return find_masks(content) or plain_masks(content)


def _read(path: Path, kind: str) -> tuple[dict[str, object], dict[str, str]]:
    return (read_torch(path), {}) if kind == "torch" else read_safetensors(path)


def _import_onnx(
    path: Path, outside: MaskFile, matrices: bool, frames: Sequence[Array]
) -> Imported:
    try:
        from .onnx_graph.network import read_onnx
        from .onnx_graph.runtime import compare
    except ModuleNotFoundError as error:
        told = install(error.name or "onnx", "onnx")
        raise CheckpointError(f"{path} looks like an ONNX model: {told}") from error
    with np.errstate(invalid="ignore"):  # NaN stays NaN, without numpy's word on it
        read = read_onnx(path, matrices)
    found = resolve(read.tensors, outside)
    reading, notes = read.reading, read.notes
    if matrices:
        notes = (*notes, "matrices alone: not checked against the file")
    if reading is not None:
        reading = replace(reading, unchecked=compare(read, found.state_dict, frames))
        if not reading.checked:
            notes = (f"not checked against the file: {reading.unchecked}", *notes)
        if reading.head and reading.pool in ("hn", "mean"):
            notes = (*notes, f"node {reading.pooled_by}: {reading.fed}")
        if reading.folded:
            notes = (*notes, f"folded into weights and biases: {', '.join(reading.folded)}")
    return replace(
        found,
        source=f"{'onnx' if reading else 'onnx, matrices alone'}: {found.source}",
        notes=(*notes, *found.notes),
        reading=reading,
        unfit=read.unfit,
        chain=read.heads if len(read.heads) > 1 else (),
    )
