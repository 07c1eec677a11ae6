"""Any pruned module's matrices in CSB: GRUs, cells and linear layers too.

What the accelerator runs goes through :func:`pruning.quantise.quantise`; this is for the
rest, and for tools of others.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from csb_format.csb import Csb, UnbalancedError
from csb_format.fixed import Fixed
from csb_format.geometry import Geometry
from csb_format.matrixfile import PackedMatrix

from .masks import check_balanced

__all__ = ["pack_matrices"]


def pack_matrices(
    module: nn.Module,
    banks: Mapping[str, int],
    *,
    value_bits: int = 16,
    masks: Mapping[str, Tensor] | None = None,
) -> dict[str, PackedMatrix]:
    """Quantise and pack bank-balanced matrices by parameter name.

    Parameters
    ----------
    module : nn.Module
        ``nn.GRU``, ``nn.LSTM``, their cells, ``nn.Linear``, or anything that holds them;
        pruned and squashed.
    banks : Mapping[str, int]
        Parameter name, as ``state_dict`` has it, to its banks.
    value_bits : int
        Width of stored weights, 4..18; each matrix takes the finest format of that width
        that holds its largest magnitude.
    masks : Mapping[str, bool Tensor], optional
        Kept weights where a kept one may be exactly zero.

    Returns
    -------
    dict of str to PackedMatrix

    Raises
    ------
    ValueError
        For a name that is no matrix of the module, NaN or infinity.
    UnbalancedError
        Naming parameter, row and bank of the first unbalanced one.
    """
    tensors = module.state_dict()
    return {
        name: _packed(name, tensors, count, value_bits, (masks or {}).get(name))
        for name, count in banks.items()
    }


def _packed(
    name: str, tensors: Mapping[str, Tensor], banks: int, value_bits: int, mask: Tensor | None
) -> PackedMatrix:
    if name not in tensors or tensors[name].ndim != 2:
        matrices = ", ".join(key for key, tensor in tensors.items() if tensor.ndim == 2)
        raise ValueError(f"{name!r} is no matrix of the module: give one of {matrices or 'none'}")
    real = tensors[name].detach().to(torch.float64).cpu().numpy()
    kept = torch.from_numpy(real != 0) if mask is None else mask.cpu().bool()
    try:
        nonzeros = check_balanced(kept, banks)
        fixed = Fixed.for_range(value_bits, float(np.abs(real).max(initial=0.0)))
        rows, columns = real.shape
        geometry = Geometry(rows, columns, banks, nonzeros, value_bits)
        return PackedMatrix(Csb.pack(fixed.quantise(real), geometry, kept.numpy()), fixed)
    except UnbalancedError as error:
        raise UnbalancedError(f"{name}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
