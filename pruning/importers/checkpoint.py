"""Writing checkpoints that :mod:`pruning.importers` reads, and the error of reading one."""

from __future__ import annotations

import os
from collections.abc import Mapping

import safetensors.torch
from torch import Tensor, nn

from csb_format.files.container import check_named
from csb_format.files.foreign import MisreadError
from csb_format.files.replace import replace_file

__all__ = ["CheckpointError", "UnsupportedLayerError", "save_tensors", "save_weights"]

_MASK = ".mask"


class CheckpointError(MisreadError):
    """A checkpoint that cannot be read, or does not hold what is needed."""


def save_weights(
    path: str | os.PathLike[str],
    module: nn.Module,
    masks: Mapping[str, Tensor] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write the state dict of a module; see :func:`save_tensors`.

    Parameters
    ----------
    path : path
    module : nn.Module
        Plain, as ``Pruner.squash`` returns it.
    masks, metadata
        As for :func:`save_tensors`.
    """
    save_tensors(path, module.state_dict(), masks, metadata)


def save_tensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    masks: Mapping[str, Tensor] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a state dict as ``.safetensors``, whole or not at all.

    Parameters
    ----------
    path : path
        Replaced if it exists.
    tensors : Mapping[str, Tensor]
        Tensors that share memory are stored once for each name.
    masks : Mapping[str, bool Tensor], optional
        Kept weights by parameter name in the state dict; stored as ``<name>.mask``.
    metadata : Mapping[str, str], optional
        Stored in the file's header.

    Raises
    ------
    ModelFileError
        If the name promises another format.
    """
    check_named(path)
    every = dict(tensors) | {f"{name}{_MASK}": mask for name, mask in (masks or {}).items()}
    data = {name: tensor.clone().contiguous() for name, tensor in every.items()}
    replace_file(path, safetensors.torch.save(data, dict(metadata) if metadata else None))


class UnsupportedLayerError(ValueError):
    """A layer, or an option of one, that is not supported; the message names it and the mend."""
