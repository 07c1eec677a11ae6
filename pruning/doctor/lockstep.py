"""How long lanes and PEs that work in lockstep take for a mask."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from compiler.array.placement import rows_by_gate
from csb_format.cells import CELLS
from csb_format.fixed import IntArray

from ..mask.masks import bank_view

__all__ = ["bank_loads", "cycles_by_gate", "cycles_of", "utilisation"]


def bank_loads(mask: Tensor, banks: int) -> Tensor:
    """Nonzeros in every bank of every row: bool (R, C) to int64 (R, banks)."""
    return bank_view(mask, banks).sum(-1)


def utilisation(mask: Tensor, lanes: int, pes: int = 1) -> float:
    """Share of the multipliers that work on nonzeros while a matrix passes the array.

    A slot is ``pes`` rows that follow each other in ``mask``; it takes as many cycles as
    the fullest bank of any of its rows holds nonzeros.

    Parameters
    ----------
    mask : Tensor
        Bool (R, C), true = kept.
    lanes : int
        N: banks, at least 1.
    pes : int
        M, at least 1; missing rows of the last slot count as idle.

    Returns
    -------
    float
        nonzeros / (N * M * cycles), 0..1; 0 without nonzeros.
    """
    cycles = cycles_of(bank_loads(mask, lanes), pes)
    return int(mask.sum()) / (lanes * pes * cycles) if cycles else 0.0


def cycles_by_gate(loads: Tensor, order: IntArray, gates: int, pes: int) -> int:
    """Cycles of a matrix where a slot has rows of one gate; as others where M allows none.

    Parameters
    ----------
    loads : Tensor
        Of every bank, (R, banks).
    order : int64 array (R,)
        Rows in processing order, the gates of a unit together.
    gates : int
        Of a unit.
    pes : int
        M.
    """
    abreast = next(c.abreast for c in CELLS.values() if len(c.gate_names) == gates)
    if pes % abreast:
        return cycles_of(loads[torch.from_numpy(np.ascontiguousarray(order))], pes)
    rows = rows_by_gate(order, gates, abreast, pes)
    none = torch.zeros_like(loads[:1])
    return cycles_of(torch.cat([loads, none])[torch.from_numpy(rows.ravel())], pes)


def cycles_of(loads: Tensor, pes: int) -> int:
    """Cycles of a matrix of these loads (R, banks), ``pes`` rows that follow each other at once."""
    slowest = loads.amax(-1)
    whole = pad(slowest, (0, -len(slowest) % pes))
    return int(whole.reshape(-1, pes).amax(-1).sum())
