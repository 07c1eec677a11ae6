"""Any pruned module's matrices in CSB: GRUs, cells and linear layers too.

What the accelerator runs goes through :func:`pruning.integers.quantise.quantise`; this is for the
rest, and for tools of others.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from csb_format.csb import Csb, UnbalancedError
from csb_format.files.matrixfile import PackedMatrix
from csb_format.fixed import Fixed
from csb_format.geometry import Geometry
from csb_format.precision import Precision

from ..mask.layers import computed
from ..mask.masks import kept_weights, packed_geometry

__all__ = ["pack_matrices"]


def pack_matrices(
    module: nn.Module | Mapping[str, Tensor],
    banks: Mapping[str, Geometry | int],
    *,
    value_bits: int = Precision.value_bits,
    masks: Mapping[str, Tensor] | None = None,
) -> dict[str, PackedMatrix]:
    """Quantise and pack bank-balanced matrices by parameter name.

    Parameters
    ----------
    module : nn.Module or Mapping[str, Tensor]
        ``nn.GRU``, ``nn.LSTM``, their cells, ``nn.Linear``, or anything that holds them;
        pruned and squashed. Or its state dict.
    banks : Mapping[str, Geometry or int]
        Parameter name, as ``state_dict`` has it, to its geometry
        (:meth:`pruning.mask.pruner.Pruner.geometries`), or to its number of banks.
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
    if isinstance(module, nn.Module):
        for name, why in computed(module).items():
            if name in banks:
                raise ValueError(f"{name!r} {why}")
    tensors = module.state_dict() if isinstance(module, nn.Module) else module
    return {
        name: _packed(name, tensors, layout, value_bits, (masks or {}).get(name))
        for name, layout in banks.items()
    }


def _packed(
    name: str,
    tensors: Mapping[str, Tensor],
    layout: Geometry | int,
    value_bits: int,
    mask: Tensor | None,
) -> PackedMatrix:
    if name not in tensors or tensors[name].ndim != 2:
        matrices = ", ".join(key for key, tensor in tensors.items() if tensor.ndim == 2)
        raise ValueError(f"{name!r} is no matrix of the module: give one of {matrices or 'none'}")
    real = tensors[name].detach().to(torch.float64).cpu().numpy()
    try:
        kept = kept_weights(torch.from_numpy(real), mask)
        geometry = packed_geometry(kept, layout, value_bits)
        fixed = Fixed.for_range(value_bits, float(np.abs(real).max(initial=0.0)))
        return PackedMatrix(Csb.pack(fixed.quantise(real), geometry, kept.numpy()), fixed)
    except UnbalancedError as error:
        raise UnbalancedError(f"{name}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
