"""The order in which the PEs take the rows of a matrix."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["row_order"]

_RECURRENT = re.compile(r"^(.*)weight_(ih|hh)((?:_l\d+)?(?:_reverse)?)$")


def row_order(name: str, shapes: Mapping[str, tuple[int, int]], lanes: int) -> Tensor:
    """Rows in processing order: the gates of a unit together, units dealt over the banks of h.

    Parameters
    ----------
    name : str
        A parameter of ``shapes``.
    shapes : Mapping[str, (rows, columns)]
        Of all matrices of the model: the hidden size of a cell is read from its
        ``weight_hh``, or from its ``weight_hr`` where it has a projection.
    lanes : int
        N, at least 1.

    Returns
    -------
    Tensor
        int64 (rows,). Matrices of other layers stay as they are.
    """
    rows = shapes[name][0]
    hidden = _hidden(name, shapes)
    if hidden == rows:
        return torch.arange(rows)
    units = _dealt(hidden, lanes)
    return (torch.arange(rows // hidden) * hidden + units[:, None]).reshape(-1)


def _dealt(hidden: int, lanes: int) -> Tensor:
    """Units round robin over banks, so that consecutive ones are written to different banks."""
    width = -(-hidden // lanes)
    units = torch.arange(lanes * width).reshape(lanes, width).T.reshape(-1)
    return units[units < hidden]


def _hidden(name: str, shapes: Mapping[str, tuple[int, int]]) -> int:
    """Units of the cell that a matrix belongs to; its rows if it belongs to none."""
    rows, match = shapes[name][0], _RECURRENT.match(name)
    if match is None:
        return rows
    recurrent = shapes.get(f"{match[1]}weight_hr{match[3]}")
    recurrent = recurrent or shapes.get(f"{match[1]}weight_hh{match[3]}")
    hidden = recurrent[1] if recurrent else rows
    return hidden if rows % hidden == 0 else rows
