"""What each pattern would keep of a trained network, before any of it is pruned.

Retained energy ranks patterns as training does, and costs seconds: which banks to take, and what
other freedom would gain, stands in one table beside cycles and bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from compiler.array.design import Array
from compiler.array.placement import row_order
from csb_format.precision import Balance, Precision

from ..budget.arrays import free_goals
from ..budget.gates import gate_goals, gates_of
from ..budget.magnitude import global_goals, kept
from ..mask.goals import Goal, goals_for, resolve, whole_of
from ..mask.views import Banks, Unstructured, View, pattern_mask
from .diagnose import CANDIDATES, KEEP_ENERGY, MORE_WEIGHTS
from .lockstep import bank_loads, cycles_by_gate, cycles_of

__all__ = ["Plan", "PlanRow", "plan"]

_INDEX_BYTES = 2  # of a column, and 4 of a row's start: CSR with small indices
_START_BYTES = 4


@dataclass(frozen=True)
class PlanRow:
    """One pattern.

    Parameters
    ----------
    pattern : str
    banks : int
        Of every row; 0 where the pattern has none.
    energy : float
        Share of the sum of squared weights that it keeps, 0..1.
    sparsity : float
        What it achieves, counted in its masks.
    pes, lanes : int
        The array that is asked: M x N, with N banks if there are any.
    cycles : int
        Of the products of a step there, M rows waiting for the slowest.
    bytes : int
        In CSB, or in CSR where there are no banks that keep equally many.
    keep : dict of str to int
        Weights a bank, by matrix; empty where that is no one number.
    budget : str
        What `prune` is to be told to make it, ``global``, ``equal`` or ``gate``; empty where it
        does not.
    """

    pattern: str
    banks: int
    energy: float
    sparsity: float
    pes: int
    lanes: int
    cycles: int
    bytes: int
    keep: dict[str, int]
    budget: str


@dataclass(frozen=True)
class Plan:
    """All patterns of one network at one sparsity.

    Parameters
    ----------
    asked : float
        Sparsity, 0..1.
    rows : tuple of PlanRow
        From the fewest banks to the most; then what no array runs.
    banks : int
        Those to take.
    reason : str
        The rule that has chosen them.
    zeros : float
        Share of all weights that are zero already, 0..1: no energy is lost with them.
    """

    asked: float
    rows: tuple[PlanRow, ...]
    banks: int
    reason: str
    zeros: float = 0.0

    @property
    def taken(self) -> PlanRow:
        """The row to take: k per matrix in those banks."""
        return next(r for r in self.rows if (r.banks, r.budget) == (self.banks, "global"))


def plan(
    module: nn.Module,
    sparsity: float = Balance.sparsity,
    lanes: Sequence[int] = CANDIDATES,
    pes: int = Array.pes,
    value_bits: int = Precision.value_bits,
    keep_energy: float = KEEP_ENERGY,
) -> Plan:
    """Weigh patterns by what their masks would keep.

    Parameters
    ----------
    module : nn.Module
        Trained, such as an ``nn.LSTM``; left as it is. All of its matrices are pruned.
    sparsity : float
        Of them, 0..1.
    lanes : sequence of int
        Numbers of banks, and of lanes N, to try, each at least 1; those beyond the columns of
        every matrix are left out. Where that leaves none of the default ones, as many as these.
    pes : int
        M, at least 1.
    value_bits : int
        Of a stored weight, 4..18.
    keep_energy : float
        Least share of the energy of unstructured pruning that banks to take keep, 0..1.

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        For a number out of range, or weights that are not finite.
    """
    return _Planner(module, sparsity, pes, value_bits).plan(sorted(set(lanes)), keep_energy)


class _Planner:
    def __init__(self, module: nn.Module, sparsity: float, pes: int, value_bits: int) -> None:
        if pes < 1:
            raise ValueError(f"{pes} PEs: must be at least 1")
        self.module, self.sparsity, self.pes, self.bits = module, sparsity, pes, value_bits
        self.matrices = resolve(module, self._goals(Unstructured()))[0]
        self.shapes = {name: matrix.shape for name, matrix in self.matrices.items()}
        self.weights = {n: module.get_parameter(n).detach().float() for n in self.matrices}
        self.total = sum(float(w.double().square().sum()) for w in self.weights.values())

    def plan(self, lanes: list[int], keep_energy: float) -> Plan:
        if not 0 <= keep_energy <= 1:
            raise ValueError(f"keep_energy {keep_energy}: it is a share, 0 to 1")
        fitting = self._fitting(lanes)
        free = self._free("unstructured, global", Unstructured(), fitting[0])
        rows = [row for banks in fitting for row in self._banks(banks)]
        shared = [row for row in rows if row.budget == "global"]
        banks, reason = self._take(shared, free, keep_energy)
        rows_alone = self._free(f"{_banks(1)}, k per matrix", Banks(1), banks)
        beside = (*self._gates(banks), *([rows_alone] if fitting[0] > 1 else ()))
        plain = self._row("unstructured", banks, self._goals(Unstructured()))
        rows += [*beside, plain, self._free("unstructured, global", Unstructured(), banks)]
        return Plan(self.sparsity, tuple(rows), banks, reason, self._zeros())

    def _zeros(self) -> float:
        count = sum(int((weight == 0).sum()) for weight in self.weights.values())
        return count / sum(weight.numel() for weight in self.weights.values())

    def _fitting(self, lanes: list[int]) -> list[int]:
        """Those that some matrix has columns for, all columns if none of the default ones is."""
        most = max(columns for _, columns in self.shapes.values())
        found = [n for n in lanes if n <= most]
        if not found and lanes == sorted(CANDIDATES):
            return [most]
        if not found or found[0] < 1:
            raise ValueError(f"lanes {lanes}: give numbers from 1 to {most}, the most columns")
        return found

    def _goals(self, view: View) -> dict[str, Goal]:
        # What cannot be reached shows in what is achieved.
        return goals_for(self.module, Goal(view, self.sparsity, tolerance=1.0))

    def _banks(self, banks: int) -> Iterator[PlanRow]:
        """K per matrix, and the same k in all of them."""
        equal = self._goals(Banks(banks))
        each = {"global": free_goals(self.module, equal), "equal": equal}
        for budget, title in (("global", "k per matrix"), ("equal", "equal k")):
            found = each[budget]
            whole = {n: whole_of(m, found[n]) for n, m in self.matrices.items()}
            row = self._row(f"{_banks(banks)}, {title}", banks, found)
            yield replace(row, banks=banks, keep=whole, budget=budget)

    def _gates(self, banks: int) -> Iterator[PlanRow]:
        gates = gates_of(self.module)
        if not gates or getattr(self.module, "proj_size", False):
            return  # a projection has no gates
        found = gate_goals(self.module, self._goals(Banks(banks)))
        masks = self._masks(found)
        row = self._row(f"{_banks(banks)}, k per gate", banks, found)
        cycles = sum(self._by_gate(name, mask, banks) for name, mask in masks.items())
        yield replace(row, banks=banks, cycles=cycles, budget="gate")

    def _by_gate(self, name: str, mask: Tensor, lanes: int) -> int:
        """Cycles of a matrix where a slot has rows of one gate; as others where M allows none."""
        order, gates = row_order(name, self.shapes, lanes), gates_of(self.module)
        return cycles_by_gate(bank_loads(mask, lanes), order, gates, self.pes)

    def _free(self, pattern: str, view: View, lanes: int) -> PlanRow:
        return self._row(pattern, lanes, global_goals(self.module, self._goals(view)))

    def _masks(self, goals: Mapping[str, Goal]) -> dict[str, Tensor]:
        found = {n: kept(goals[n], whole_of(m, goals[n])) for n, m in self.matrices.items()}
        return {name: _mask(self.weights[name], goal) for name, goal in found.items()}

    def _row(self, pattern: str, lanes: int, goals: Mapping[str, Goal]) -> PlanRow:
        masks = self._masks(goals)
        energy = sum(float(self.weights[n][m].double().square().sum()) for n, m in masks.items())
        left = sum(int(mask.sum()) for mask in masks.values())
        weights = sum(mask.numel() for mask in masks.values())
        cycles = sum(self._cycles(name, mask, lanes) for name, mask in masks.items())
        size = sum(self._bytes(name, mask, goals[name]) for name, mask in masks.items())
        share = energy / self.total if self.total else 1.0
        return PlanRow(pattern, 0, share, 1 - left / weights, self.pes, lanes, cycles, size, {}, "")

    def _cycles(self, name: str, mask: Tensor, lanes: int) -> int:
        order = torch.from_numpy(row_order(name, self.shapes, lanes))
        return cycles_of(bank_loads(mask, lanes)[order], self.pes)

    def _bytes(self, name: str, mask: Tensor, goal: Goal) -> int:
        if isinstance(goal.view, Banks):
            keep = whole_of(self.matrices[name], goal)
            return -(-goal.view.geometry(*self.shapes[name], keep, self.bits).packed_bits // 8)
        entry = int(mask.sum()) * (self.bits + 8 * _INDEX_BYTES)
        return -(-entry // 8) + _START_BYTES * (len(mask) + 1)

    def _take(self, rows: list[PlanRow], free: PlanRow, keep_energy: float) -> tuple[int, str]:
        """Most banks that keep enough in hardly more weights than asked, else those of most."""
        most = MORE_WEIGHTS * (1 - self.sparsity)
        few = [row for row in rows if 1 - row.sparsity <= most]
        good = [row for row in few if row.energy >= keep_energy * free.energy]
        if good:
            return good[-1].banks, (
                f"most banks that keep at least {keep_energy:.0%} of the energy that "
                "unstructured pruning keeps"
            )
        if few:
            best = max(few, key=lambda row: (row.energy, row.banks))
            return best.banks, f"none keeps {keep_energy:.0%} of unstructured pruning's, these most"
        least = max(rows, key=lambda row: (row.sparsity, row.banks))
        over = f"all keep over {MORE_WEIGHTS - 1:.0%} more weights than are asked"
        return least.banks, f"{over}; these banks keep fewest"


def _banks(count: int) -> str:
    return f"{count} bank{'s' if count != 1 else ''}"


def _mask(weight: Tensor, goal: Goal) -> Tensor:
    return pattern_mask(goal.view, weight.detach().abs(), goal.keep or 0)
