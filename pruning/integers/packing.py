"""Any pruned module's matrices in CSB: GRUs, cells and linear layers too.

What the accelerator runs goes through :func:`pruning.integers.quantise.quantise`; this is for the
rest, and for tools of others.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from csb_format.csb import Csb, UnbalancedError
from csb_format.files.matrixfile import PackedMatrix
from csb_format.fixed import Fixed
from csb_format.geometry import Geometry
from csb_format.model import GateFormats
from csb_format.precision import Precision

from ..mask.layers import computed
from ..mask.masks import kept_weights, packed_geometry, promised_geometry
from .tensors import Real, magnitude

__all__ = ["pack_matrices", "pack_matrix"]


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
    given = tensors[name].detach().cpu()
    real = (given if given.dtype == torch.float32 else given.double()).numpy()
    try:
        fixed = Fixed.for_range(value_bits, magnitude(real))
        return PackedMatrix(pack_matrix(real, layout, fixed, mask), fixed)
    except UnbalancedError as error:
        raise UnbalancedError(f"{name}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def pack_matrix(
    real: Real, layout: Geometry | int, formats: GateFormats, mask: Tensor | None
) -> Csb:
    """Round the kept weights of one matrix, and pack them.

    Parameters
    ----------
    real : float array (R, C)
    layout : Geometry or int
        Its geometry, or its number of banks; the width of the formats counts.
    formats : Fixed or tuple of Fixed
        For all rows, or for those of each gate.
    mask : bool Tensor (R, C), optional
        True = kept; by default what is not zero.

    Raises
    ------
    UnbalancedError
        Naming row and bank.
    ValueError
        For NaN, infinity, a mask or a layout of another shape, or a weight outside the mask.
    """
    kept = kept_weights(torch.from_numpy(real), mask)
    width = (formats if isinstance(formats, Fixed) else formats[0]).width
    try:
        return Csb.quantise(real, formats, promised_geometry(kept, layout, width), kept.numpy())
    except UnbalancedError:
        packed_geometry(kept, layout, width)  # names the place, and the mend
        raise
