"""What the front door takes from here: ``sparseflow.prune``, ``quantise`` and ``pack``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from csb_format.arguments import flag, frames_of, number, one_of, whole
from csb_format.files.matrixfile import PackedMatrix
from csb_format.geometry import Geometry
from csb_format.pooling import LAST
from csb_format.precision import Balance, Precision

from .arguments import check_layout, check_masks, check_provenance, module_of, tensors_of
from .budget.arrays import goals_by
from .cells import Recurrent
from .integers.packing import pack_matrices
from .integers.quantise import Quantised
from .integers.quantise import quantise as quantise_network
from .integers.supported import check_layer
from .mask.goals import Goal, check_together, goals_for
from .mask.layers import matrices
from .mask.pruner import Pruner
from .mask.schedule import Increments
from .mask.views import Banks

__all__ = ["pack", "prune", "quantise"]

_REACHES = min(Precision.reaches), max(Precision.reaches)
ModuleT = TypeVar("ModuleT", bound=nn.Module)
Layout = Mapping[str, Geometry | int]


def prune(
    module: ModuleT,
    *,
    banks: int = Balance.banks,
    sparsity: float = Balance.sparsity,
    budget: str = Balance.budget,
    by_kind: Mapping[str, Goal] | None = None,
    steps: int = 1,
    every: int = 1,
) -> Pruner[ModuleT]:
    """Prune every matrix so that all banks of all of its rows keep equally many weights.

    The masks stay on while you train: fine-tune with ``pruner.attach(optimizer, drive=True)``,
    or call ``pruner.step()`` after each of your own. ``pruner.squash()`` gives a plain module
    back, once the increments are done; ``pruner.sparsity()`` what was achieved: whole weights a
    bank may not meet the request.

    Parameters
    ----------
    module : nn.Module
        ``nn.LSTM``, ``nn.GRU``, their cells, ``nn.Linear``, or anything that holds them;
        pruned in place.
    banks : int
        Of every row, at least 1; what the lanes of an array will have to divide.
    sparsity : float
        Share of weights to remove, 0..1.
    budget : {"global", "gate", "equal"}
        ``"global"``: matrices with equally many rows share the weights that the sparsity leaves
        them, and each keeps as many a bank as its magnitudes ask for, in no more cycles than
        ``"equal"``, which asks the sparsity of every matrix; see
        :func:`pruning.budget.arrays.free_goals`. ``"gate"``: every gate does, for arrays with
        slots of one gate; see :func:`pruning.budget.gates.gate_goals`.
    by_kind : mapping of str to Goal, optional
        Other goals for some kinds of matrices, which then share nothing; see
        :func:`pruning.mask.goals.goals_for`.
    steps, every : int
        Reach the sparsity in so many increments, one every so many steps of the optimizer
        (``drive=True``) or calls of ``pruner.step()``; by default at once.

    Returns
    -------
    Pruner

    Raises
    ------
    UnprunableError
        If a matrix cannot be pruned as it is: under ``torch.nn.utils.prune``, weight or
        spectral normalisation, weight dropout or a parametrisation; if it is pruned already,
        or there is none; the message has the mend.
    TypeError
        For an argument of another kind; like every error here it names value and mend.
    ValueError
        If a matrix has fewer columns than banks, a number is out of range, or nothing comes
        near the sparsity.

    Examples
    --------
    >>> pruner = sf.prune(lstm, banks=8, sparsity=0.875)
    >>> pruner.attach(optimizer, drive=True)
    """
    module_of("sf.prune", module, "a torch.nn.Module, such as nn.LSTM(8, 16)")
    banks = whole("banks", banks, 1)
    steps, every = whole("steps", steps, 1), whole("every", every, 1)
    one_of("budget", budget, Balance.budgets)
    if sparsity is None:  # of a goal it may be, where a number to keep is given
        number("sparsity", sparsity, 0, 1)
    goal = Goal(Banks(banks), sparsity=sparsity)
    # matrices that share come near the sparsity together
    each = goal if budget == "equal" else replace(goal, tolerance=1.0)
    goals = goals_for(module, each, by_kind)
    own = [n for n, matrix in matrices(module).items() if matrix.kind in (by_kind or {})]
    goals = goals_by(budget, module, goals, [name for name in own if name in goals])
    check_together(module, {n: g for n, g in goals.items() if n not in own}, goal)
    return Pruner(module, goals, Increments(steps, every) if steps != 1 else None)


def quantise(
    pruned: Pruner[nn.LSTM] | Pruner[nn.GRU] | Pruner[Recurrent] | Recurrent | nn.LSTMCell,
    head: nn.Module | None,
    calibration: Sequence[npt.NDArray[np.floating]],
    *,
    layout: Layout | None = None,
    value_bits: int = Precision.value_bits,
    act_bits: int = Precision.act_bits,
    per_gate: bool = Precision.per_gate,
    percentile: float = Precision.percentile,
    pool: str = LAST,
    provenance: Mapping[str, str] | None = None,
    reach: int | Sequence[int] | None = Precision.reach,
) -> Quantised:
    """Turn a pruned LSTM or GRU into integers in compressed sparse banks.

    Parameters
    ----------
    pruned : Pruner, nn.LSTM, nn.GRU or nn.LSTMCell
        What :func:`prune` returned, or a module that was balanced elsewhere.
    head : nn.Linear or nn.Sequential, optional
        The classifier on the output of the last layer: one linear layer, or several with a ReLU
        between them.
    calibration : sequence of float arrays (T, X)
        Frames as the accelerator will be fed, normalised: they show the ranges.
    layout : mapping of str to Geometry or int, optional
        Of a module that was balanced elsewhere: every matrix by torch's name to its banks.
    value_bits, act_bits : int
        Width of weights, 4..18, and of inputs and states, 6..18.
    per_gate : bool
        Give the gates of a matrix a format each.
    percentile : float
        Percent of magnitudes that formats hold, 50..100.
    pool : {"last", "hn", "mean", "every"}
        How the head is fed: the output at the last frame, the final state of each direction
        (``h_n``), or the mean over time. The model carries it, and the host computes it.
    provenance : mapping of str to str, optional
        Stored with the model.
    reach : int or sequence of int, optional
        Pre-activations and an LSTM's cell state lie in [-reach, reach): 8, 16, 32, 64 or 128, one
        for all layers or one for each in torch's order; None for 16, or more in layers where
        ``calibration`` saturates and the outputs come nearer so.

    Returns
    -------
    Quantised
        ``model`` is what the other functions take; ``saturations`` says what was clipped.

    Raises
    ------
    UnsupportedLayerError
        For another layer than these.
    UnbalancedError
        Naming parameter, row and bank of the first unbalanced one.
    UnfinishedError
        For a pruner whose schedule is not at its end.
    TypeError
        For an argument of another kind.
    ValueError
        For NaN, no calibration, a number out of range, a module without ``layout``, or a name
        in it that is no matrix of the module.
    """
    value_bits = whole("value_bits", value_bits, *Precision.value_range)
    act_bits = whole("act_bits", act_bits, *Precision.act_range)
    percentile = number("percentile", percentile, *Precision.percentile_range)
    check_provenance({} if provenance is None else provenance)
    masks = None
    lstm: Recurrent | nn.LSTMCell
    if isinstance(pruned, Pruner):
        lstm, masks = pruned.squash(shared=True), pruned.masks()
        layout = pruned.geometries(value_bits) if layout is None else layout
    else:
        module_of(
            "sf.quantise", pruned, "what sf.prune returned, or an nn.LSTM, nn.GRU or nn.LSTMCell"
        )
        lstm = pruned
    check_layer(lstm)
    if layout is None:
        raise ValueError(
            "no layout: give what sf.prune returned, or layout, every matrix by its name to its "
            "banks, such as {'weight_ih_l0': 8, 'weight_hh_l0': 8}"
        )
    check_layout("layout", layout, lstm.state_dict())
    if head is not None:
        module_of("sf.quantise", head, "as head an nn.Linear, an nn.Sequential, or None")
    return quantise_network(
        lstm,
        head,
        layout,
        frames_of(calibration, lstm.input_size, "calibration sequence"),
        value_bits=value_bits,
        act_bits=act_bits,
        provenance=provenance,
        masks=masks,
        per_gate=flag("per_gate", per_gate),
        percentile=percentile,
        pool=pool,
        reach=_reach(reach),
    )


def _reach(given: int | Sequence[int] | None) -> int | tuple[int, ...] | None:
    """Whole numbers within what there is."""
    if given is None or not isinstance(given, Sequence) or isinstance(given, str):
        return given if given is None else whole("reach", given, *_REACHES)
    return tuple(whole("reach", one, *_REACHES) for one in given)


def pack(
    module: Pruner[nn.Module] | nn.Module | Mapping[str, Tensor],
    banks: Layout | None = None,
    *,
    value_bits: int = Precision.value_bits,
    masks: Mapping[str, Tensor] | None = None,
) -> dict[str, PackedMatrix]:
    """Pack the pruned matrices of any network alone: GRUs, cells, linear layers, other hardware.

    Parameters
    ----------
    module : Pruner, nn.Module or mapping of str to Tensor
        What :func:`prune` returned, a module that was balanced elsewhere, or its state dict.
    banks : mapping of str to Geometry or int
        Parameter name to its geometry or number of banks; a pruner knows them.
    value_bits : int
        Width of stored weights, 4..18; each matrix takes the finest format of that width
        that holds its largest magnitude.
    masks : mapping of str to bool Tensor, optional
        Kept weights where a kept one may be exactly zero.

    Returns
    -------
    dict of str to PackedMatrix
        By parameter name; ``sf.save`` writes them to a file.

    Raises
    ------
    UnbalancedError
        Naming parameter, row and bank of the first unbalanced one.
    UnfinishedError
        For a pruner whose schedule is not at its end.
    TypeError
        For an argument of another kind.
    ValueError
        For a name that is no matrix of the module, in ``banks`` or ``masks``, NaN or infinity,
        or no banks.
    """
    value_bits = whole("value_bits", value_bits, *Precision.value_range)
    if isinstance(module, Pruner):
        layout = module.geometries(value_bits) if banks is None else banks
        plain = module.squash(shared=True)
        _check_packed(plain, layout, masks)
        return pack_matrices(plain, layout, value_bits=value_bits, masks=masks or module.masks())
    tensors_of(module)
    if banks is None:
        raise ValueError("no banks: give every matrix by its name to its banks")
    _check_packed(module, banks, masks)
    return pack_matrices(module, banks, value_bits=value_bits, masks=masks)


def _check_packed(
    module: nn.Module | Mapping[str, Tensor], banks: Layout, masks: Mapping[str, Tensor] | None
) -> None:
    tensors = module.state_dict() if isinstance(module, nn.Module) else module
    check_layout("banks", banks, tensors)
    check_masks({} if masks is None else masks, banks)
