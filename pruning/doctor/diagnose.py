"""What a mask costs on an array whose lanes work in lockstep, and what balancing it would cost.

Every lane has one bank of the vector, so a row takes as many cycles as its fullest bank
holds nonzeros; PEs that work on rows at the same time wait for the slowest of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from compiler.array.design import Array
from compiler.array.placement import row_order
from csb_format.geometry import Geometry
from csb_format.precision import Balance, Precision

from ..files.layouts import balanced_by_gate
from ..importers import Imported
from ..importers.imported import is_float, no_floats
from ..mask.masks import bank_balanced_mask
from ..mask.views import Banks
from .lockstep import bank_loads, cycles_by_gate, cycles_of, utilisation

__all__ = [
    "CANDIDATES",
    "KEEP_ENERGY",
    "MORE_WEIGHTS",
    "Diagnosis",
    "Energy",
    "LaneFigures",
    "MatrixFigures",
    "bank_loads",
    "diagnose",
    "utilisation",
]

CANDIDATES = (4, 8, 16, 32, 64)
"""Banks (lanes) that are tried unless the caller names others."""

_GATED = ("weight_ih", "weight_hh")  # whose rows are of the gates of a cell

KEEP_ENERGY = Balance.keep_energy
"""Least share of the present L2 energy that a suggested balanced mask keeps."""

MORE_WEIGHTS = 1.05
"""A whole number of weights per bank seldom gives the present count; so many times it may be."""


@dataclass(frozen=True)
class Energy:
    """Sums of magnitudes and of squares, as shares of those of some set of weights.

    Parameters
    ----------
    l1, l2 : float
        0 or more; at most 1 for a part of the set.
    """

    l1: float
    l2: float


@dataclass(frozen=True)
class LaneFigures:
    """One matrix on an array of so many lanes: as it is, and rebalanced.

    Parameters
    ----------
    lanes : int
        Lanes N of a PE, and banks of a row.
    utilisation : float
        Of one PE: nonzeros / (N * sum over rows of the fullest bank), 0..1.
    pes_utilisation : float
        Of M PEs in lockstep, where a slot of M rows waits for its slowest.
    balanced : bool
        Every bank of every row, or of every row of a gate, holds equally many already, short last
        banks aside.
    nonzeros : int
        Weights per bank after rebalancing: the whole number nearest to the present count; of a
        matrix that is balanced gate by gate the most that a gate keeps.
    kept : int
        Weights of the rebalanced matrix.
    rebalanced_utilisation : float
        Of it; below 1 only by padding and by rows that M does not divide.
    speedup : float
        Cycles of M PEs as it is / rebalanced.
    within : Energy
        Rebalanced by removing weights from full banks only, as shares of the present energy.
    from_dense : Energy or None
        Rebalanced from all weights, as shares of the dense energy; None if not known.
    index_bits : int
        Of an in-bank index in CSB.
    csb_bytes : int
        The rebalanced matrix in CSB.
    """

    lanes: int
    utilisation: float
    pes_utilisation: float
    balanced: bool
    nonzeros: int
    kept: int
    rebalanced_utilisation: float
    speedup: float
    within: Energy
    from_dense: Energy | None
    index_bits: int
    csb_bytes: int


@dataclass(frozen=True)
class MatrixFigures:
    """One matrix.

    Parameters
    ----------
    name : str
        Parameter name.
    rows, columns, nonzeros : int
        Nonzeros are the weights that the mask keeps.
    present : Energy or None
        Of the present weights as shares of the dense ones; None if those are not known.
    lanes : tuple of LaneFigures
        Ascending; counts beyond the columns are left out.
    suggested : int
        Banks, one of the lanes.
    reason : str
        The rule that has chosen them.
    """

    name: str
    rows: int
    columns: int
    nonzeros: int
    present: Energy | None
    lanes: tuple[LaneFigures, ...]
    suggested: int
    reason: str

    @property
    def sparsity(self) -> float:
        """Share of weights that are removed, 0..1."""
        return 1 - self.nonzeros / (self.rows * self.columns)

    @property
    def dense(self) -> bool:
        """Whether no weight is removed: then the figures are those of pruning it."""
        return self.nonzeros == self.rows * self.columns

    def comparable(self, figures: LaneFigures) -> bool:
        """Whether the rebalanced matrix has at most :data:`MORE_WEIGHTS` times the weights.

        Of a dense matrix, times the fewest that any lanes keep: where banks are too narrow to be
        pruned as far, more is kept, which is no merit of theirs.
        """
        least = min(each.kept for each in self.lanes) if self.dense else self.nonzeros
        return figures.kept <= MORE_WEIGHTS * least

    def at(self, lanes: int) -> LaneFigures:
        """The figures of one number of lanes."""
        return next(figures for figures in self.lanes if figures.lanes == lanes)

    def retained(self, figures: LaneFigures) -> Energy:
        """Energy after rebalancing as a share of the present one, from all weights if known."""
        if figures.from_dense is None or self.present is None:
            return figures.within
        dense, present = figures.from_dense, self.present
        return Energy(dense.l1 / present.l1, dense.l2 / present.l2)


@dataclass(frozen=True)
class Diagnosis:
    """All matrices of a model.

    Parameters
    ----------
    source : str
        What the file was taken for.
    pes, value_bits : int
        M, and bits of a stored weight.
    keep_energy : float
        See :data:`KEEP_ENERGY`.
    matrices : tuple of MatrixFigures
        In the order of the file.
    notes : tuple of str
        What was left out or could not be known.
    """

    source: str
    pes: int
    value_bits: int
    keep_energy: float
    matrices: tuple[MatrixFigures, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Matrix:
    """A matrix while it is examined; ``shapes`` are those of all matrices of the model."""

    name: str
    weight: Tensor
    mask: Tensor
    dense: Tensor | None
    shapes: Mapping[str, tuple[int, int]]

    @property
    def nonzeros(self) -> int:
        return int(self.mask.sum())


def diagnose(
    model: Imported,
    lanes: Sequence[int] = CANDIDATES,
    pes: int = Array.pes,
    value_bits: int = Precision.value_bits,
    keep_energy: float = KEEP_ENERGY,
    names: Sequence[str] = (),
) -> Diagnosis:
    """Examine every matrix of a model.

    Parameters
    ----------
    model : Imported
        Weights and masks, or masks alone (then every kept weight counts as 1).
    lanes : sequence of int
        Numbers N of lanes, and so banks, to try; each at least 1.
    pes : int
        PEs M that work on rows in lockstep, at least 1.
    value_bits : int
        Bits of a stored weight, 4..18.
    keep_energy : float
        Least share of the present L2 energy for a suggestion, 0..1.
    names : sequence of str
        Parameters to examine; by default every floating matrix.

    Raises
    ------
    ValueError
        For an argument out of range, an unknown name, weights that are NaN or infinite, or
        a model without matrices.
    """
    _check_arguments(lanes, pes, keep_energy)
    found = _matrices(model, names)
    notes = [f"{m.name}: no weight is left, not examined" for m in found if not m.nonzeros]
    if all(m.nonzeros == m.mask.numel() for m in found):
        notes.append(
            "it is dense: no weight is removed, prune it first; the figures are those once "
            f"{Balance.sparsity:.1%} of each matrix is pruned"
        )
    alive = [m for m in found if m.nonzeros]
    if not alive:
        raise ValueError(f"{', '.join(m.name for m in found)}: no weight is left; prune less")
    counts = sorted(set(lanes))
    examined = tuple(_examine(m, counts, pes, value_bits, keep_energy) for m in alive)
    return Diagnosis(model.source, pes, value_bits, keep_energy, examined, (*model.notes, *notes))


def _check_arguments(lanes: Sequence[int], pes: int, keep_energy: float) -> None:
    if not lanes or min(lanes) < 1:
        raise ValueError(f"lanes {list(lanes)}: give at least one number, each at least 1")
    if pes < 1:
        raise ValueError(f"{pes} PEs: must be at least 1")
    if not 0 <= keep_energy <= 1:
        raise ValueError(f"keep_energy {keep_energy}: it is a share, 0 to 1")


def _matrices(model: Imported, names: Sequence[str]) -> list[_Matrix]:
    state: Mapping[str, Tensor] = model.state_dict or {
        name: mask.float() for name, mask in model.masks.items()
    }
    matrices = {
        name: tensor.float()
        for name, tensor in state.items()
        if tensor.ndim == 2 and is_float(tensor) and tensor.numel()
    }
    others = [name for name in names or state if _is_other(state.get(name))]
    if others and (names or not matrices):
        raise ValueError(no_floats(others, state[others[0]]))
    unknown = [name for name in names if name not in matrices]
    if unknown or not matrices:
        raise ValueError(
            f"no matrix {', '.join(unknown) or 'at all'} in this model: it has "
            f"{', '.join(matrices) or 'none; give LSTM, GRU or linear weights'}"
        )
    shapes = {name: (tensor.shape[0], tensor.shape[1]) for name, tensor in matrices.items()}
    chosen = names or list(matrices)
    return [_matrix(model, name, matrices[name], shapes) for name in chosen]


def _is_other(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.ndim == 2 and not is_float(tensor)


def _matrix(
    model: Imported, name: str, weight: Tensor, shapes: Mapping[str, tuple[int, int]]
) -> _Matrix:
    dense = model.dense.get(name)
    for tensor in (weight, dense):
        if tensor is not None and not torch.isfinite(tensor).all():
            at = tuple(torch.nonzero(~torch.isfinite(tensor))[0].tolist())
            raise ValueError(f"{name} is {tensor[at].item()} at {at}: train to finite weights")
    return _Matrix(
        name, weight, model.mask(name),
        None if dense is None else dense.float(), shapes,
    )  # fmt: skip


def _examine(
    matrix: _Matrix, counts: Sequence[int], pes: int, value_bits: int, keep_energy: float
) -> MatrixFigures:
    rows, columns = matrix.mask.shape
    # Something must be said about a narrow matrix too: all of its columns are banks then.
    fitting = [count for count in counts if count <= columns] or [columns]
    lanes = tuple(_at_lanes(matrix, count, pes, value_bits) for count in fitting)
    present = None if matrix.dense is None else _energy(matrix.dense, matrix.mask, matrix.dense)
    plain = MatrixFigures(matrix.name, rows, columns, matrix.nonzeros, present, lanes, 0, "")
    suggested, reason = _suggest(plain, keep_energy)
    return MatrixFigures(
        matrix.name, rows, columns, matrix.nonzeros, present, lanes, suggested, reason
    )


def _at_lanes(matrix: _Matrix, lanes: int, pes: int, value_bits: int) -> LaneFigures:
    rows, columns = matrix.mask.shape
    # A dense matrix has no count to keep: it is shown as `prune` would make it.
    dense = matrix.nonzeros == rows * columns
    sparsity = Balance.sparsity if dense else 1 - matrix.nonzeros / (rows * columns)
    gated = not dense and any(name in matrix.name for name in _GATED)
    by_gate = balanced_by_gate(matrix.mask, Banks(lanes)) if gated else None
    if by_gate is not None and by_gate.parts:
        return _as_it_is(matrix, replace(by_gate, value_bits=value_bits), pes)
    geometry = Geometry.nearest(rows, columns, lanes, sparsity, value_bits)
    k, order = geometry.nonzeros, row_order(matrix.name, matrix.shapes, lanes)
    cycles = cycles_of(bank_loads(matrix.mask, lanes)[order], pes)
    best = k * -(-rows // pes)
    whole = None if matrix.dense is None else _rebalanced(matrix.dense, matrix.dense, lanes, k)
    return LaneFigures(
        lanes=lanes,
        utilisation=utilisation(matrix.mask, lanes),
        pes_utilisation=matrix.nonzeros / (lanes * pes * cycles),
        balanced=_is_balanced(matrix.mask, geometry),
        nonzeros=k,
        kept=geometry.real_nonzeros,
        rebalanced_utilisation=geometry.real_nonzeros / (lanes * pes * best),
        speedup=cycles / best,
        within=_rebalanced(matrix.weight * matrix.mask, matrix.weight, lanes, k),
        from_dense=whole,
        index_bits=geometry.index_bits,
        csb_bytes=-(-geometry.packed_bits // 8),
    )


def _as_it_is(matrix: _Matrix, geometry: Geometry, pes: int) -> LaneFigures:
    """Of a matrix whose gates keep different numbers of weights, each its own in every bank.

    Nothing is rebalanced. PEs in lockstep have rows of one gate, as arrays take them.
    """
    lanes, order = geometry.banks, row_order(matrix.name, matrix.shapes, geometry.banks)
    loads = bank_loads(matrix.mask, lanes)
    cycles = cycles_by_gate(loads, order, len(geometry.parts), pes)
    busy, all_of = matrix.nonzeros / (lanes * pes * cycles), Energy(1.0, 1.0)
    present = None if matrix.dense is None else _energy(matrix.dense, matrix.mask, matrix.dense)
    return LaneFigures(
        lanes=lanes,
        utilisation=utilisation(matrix.mask, lanes),
        pes_utilisation=busy,
        balanced=True,
        nonzeros=geometry.nonzeros,
        kept=matrix.nonzeros,
        rebalanced_utilisation=busy,
        speedup=1.0,
        within=all_of,
        from_dense=present,
        index_bits=geometry.index_bits,
        csb_bytes=-(-geometry.packed_bits // 8),
    )


def _is_balanced(mask: Tensor, geometry: Geometry) -> bool:
    expected = torch.tensor([min(geometry.nonzeros, real) for real in geometry.bank_columns])
    return bool((bank_loads(mask, geometry.banks) == expected).all())


def _rebalanced(weight: Tensor, whole: Tensor, banks: int, nonzeros: int) -> Energy:
    return _energy(weight, bank_balanced_mask(weight, banks, nonzeros), whole)


def _energy(weight: Tensor, mask: Tensor, whole: Tensor) -> Energy:
    # Both sums in the same order: what loses nothing is exactly 1.
    kept, all_of = torch.where(mask, weight, 0.0).double(), whole.double()
    return Energy(
        _share(float(kept.abs().sum()), float(all_of.abs().sum())),
        _share(float(kept.square().sum()), float(all_of.square().sum())),
    )


def _share(part: float, whole: float) -> float:
    # Masks may keep weights that are all zero: then nothing is lost.
    return part / whole if whole else 1.0


def _suggest(matrix: MatrixFigures, keep: float) -> tuple[int, str]:
    """Most banks within the limits on energy and weight count, else the least loss.

    Of a dense matrix, the busiest array once it is pruned, then the fewest bytes.
    """
    if matrix.dense:
        best = min(matrix.lanes, key=lambda f: (-f.rebalanced_utilisation, f.csb_bytes, -f.lanes))
        return best.lanes, f"busiest once {Balance.sparsity:.1%} is pruned, then fewest bytes"
    few = [f for f in matrix.lanes if matrix.comparable(f)]
    good = [f for f in few if matrix.retained(f).l2 >= keep]
    if good:
        return good[-1].lanes, f"most banks that keep at least {keep:.0%} of the present L2 energy"
    if few:
        best = max(few, key=lambda f: (matrix.retained(f).l2, f.lanes))
        return best.lanes, f"none keeps {keep:.0%} of the present L2 energy, these keep most"
    least = min(matrix.lanes, key=lambda f: (f.kept, -f.lanes))
    return least.lanes, "one weight per bank is more than there are; these banks add fewest"
