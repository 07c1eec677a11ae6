"""What arrays make of the weights that matrices keep: cycles of a step, before any is trained."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations
from typing import Any

from torch import nn

from compiler.array.needs import check_supported, design_for
from compiler.lower.schedule import schedule
from compiler.timing.cycle_model import step_cycles
from csb_format.geometry import Geometry
from csb_format.scales import DesignError
from csb_format.shape import LstmShape, ModelShape, uniform_shape

from ..cells import RECURRENT, Recurrent, cell_of
from ..mask.goals import Goal, resolve, whole_of
from ..mask.layers import Matrix, find
from ..mask.views import Banks
from .gates import gate_goals
from .magnitude import Share, alike, global_goals, kept, sharers

__all__ = [
    "PES",
    "Slower",
    "cycles_of",
    "free_goals",
    "geometries",
    "goals_and_hold",
    "goals_by",
    "shapes",
]

PES = (8, 16, 32, 64)
"""PEs M of the arrays that are asked."""

_LANES = 64  # at most, and any that divide all banks
_DEEP = 8  # PEs for each lane at most: as many as 64 x 8 has
_MOVES = 64  # of single units at most, where the whole freedom costs cycles somewhere
_ASKED = 1000  # steps of a layer on an array at most, to find them: seconds, whatever the network

Cycles = dict[tuple[int, int], float]  # of a step, by (M, N)


def geometries(module: nn.Module, goals: Mapping[str, Goal]) -> dict[str, Geometry]:
    """What each matrix is packed in once its goal is reached; of those in banks alone."""
    matrices, chosen = resolve(module, goals)
    found = {}
    for name, matrix in matrices.items():
        view, keep = chosen[name].view, whole_of(matrix, chosen[name])
        if isinstance(view, Banks):
            found[name] = view.geometry(*matrix.shape, keep)
    return found


def shapes(module: nn.Module, goals: Mapping[str, Goal]) -> list[ModelShape]:
    """Every LSTM and GRU of a module that an array could run, all of its matrices in banks."""
    packed = geometries(module, goals)
    found = []
    for path, part in module.named_modules():
        if isinstance(part, RECURRENT):
            prefix = f"{path}." if path else ""
            names = [f"{prefix}{name}" for name, p in part.named_parameters() if p.ndim == 2]
            if all(name in packed for name in names):
                found.append(_shape(part, [packed[name] for name in names]))
    return list(filter(_runs, found))


def _shape(lstm: Recurrent, packed: list[Geometry]) -> ModelShape:
    kinds = 2 + bool(lstm.proj_size)
    directions = 1 + lstm.bidirectional
    plain = uniform_shape(
        lstm.input_size,
        lstm.hidden_size,
        [1] * kinds,
        [1] * kinds,
        layers=lstm.num_layers,
        directions=directions,
        projection=lstm.proj_size,
        cell=cell_of(lstm).name,
    )
    given = iter(packed)
    return replace(plain, layers=tuple(_packed(layer, given) for layer in plain.layers))


def _packed(layer: LstmShape, given: Iterator[Geometry]) -> LstmShape:
    packed: dict[str, Any] = {name: next(given) for name in layer.geometries}
    return replace(layer, **packed)


def _runs(shape: ModelShape) -> bool:
    try:
        check_supported(shape)
    except DesignError:
        return False
    return True


def cycles_of(module: nn.Module, goals: Mapping[str, Goal]) -> Cycles:
    """Cycles of a step of all LSTMs of a module, on every array that can carry them.

    Parameters
    ----------
    module : nn.Module
    goals : mapping of str to Goal
        By parameter name.

    Returns
    -------
    dict of (int, int) to float
        By M and N: M of :data:`PES`, N up to 64 that divides the banks of every matrix, M at most
        8 N. Empty where there is no LSTM whose matrices are all in banks.
    """
    found = shapes(module, goals)
    banks = math.gcd(*(g.banks for s in found for x in s.layers for g in x.geometries.values()))
    lanes = [n for n in range(1, _LANES + 1) if banks and banks % n == 0]
    arrays = [(m, n) for n in lanes for m in PES if m <= _DEEP * n]
    return {array: cycles for array in arrays if (cycles := _step(found, array))}


def _step(found: list[ModelShape], array: tuple[int, int]) -> float:
    """Cycles of a step of all of them; 0 if the array does not carry each."""
    counts = [_cycles(shape, *array) for shape in found]
    return sum(counts) if all(counts) else 0.0


def _cycles(shape: ModelShape, pes: int, lanes: int) -> float:
    """Of a step; 0 if the array does not carry it."""
    try:
        return step_cycles(schedule(shape, design_for(shape, pes, lanes)))  # one stream's
    except DesignError:
        return 0.0


def free_goals(
    module: nn.Module, goals: Mapping[str, Goal], fixed: Collection[str] = ()
) -> dict[str, Goal]:
    """One budget of magnitude, a k for every matrix, where no array takes longer for it.

    Parameters
    ----------
    module : nn.Module
        Trained; left as it is.
    goals : mapping of str to Goal
        As for :func:`.global_goals`.
    fixed : collection of str
        Matrices that keep what their own goals say.

    Returns
    -------
    dict of str to Goal
        Of :func:`.global_goals`. A pass of very few weights a row can be over before the
        results of the one before are taken away: if a step of an LSTM took longer than with
        equal k on any array of :func:`cycles_of`, weights move from equal k one unit after the
        other, each time the one that gains most and costs no cycle, up to a number that
        bounds the time.
    """
    return _Free(module, goals, fixed).goals()


def goals_by(
    budget: str, module: nn.Module, goals: Mapping[str, Goal], fixed: Collection[str] = ()
) -> dict[str, Goal]:
    """Goals of a budget.

    ``global``: those of :func:`free_goals`; ``gate``: those of :func:`.gate_goals`, for an
    array with slots of one gate (``Design.by_gate``); ``equal``: as they are.
    """
    if budget == "gate":
        return gate_goals(module, goals, fixed)
    return free_goals(module, goals, fixed) if budget == "global" else dict(goals)


def goals_and_hold(
    budget: str, module: nn.Module, goals: Mapping[str, Goal], fixed: Collection[str] = ()
) -> tuple[dict[str, Goal], Slower | None]:
    """:func:`goals_by`, and why they move fewer weights than magnitudes ask for, if they do."""
    if budget != "global":
        return goals_by(budget, module, goals, fixed), None
    free = _Free(module, goals, fixed)
    return free.goals(), free.slower()


@dataclass(frozen=True)
class Slower:
    """An array M x N that would take ``cycles`` a step with all freedom, ``equal`` without."""

    pes: int
    lanes: int
    cycles: float
    equal: float


class _Free:
    def __init__(
        self, module: nn.Module, goals: Mapping[str, Goal], fixed: Collection[str]
    ) -> None:
        self.module, self.asked = module, goals
        matrices, chosen = resolve(module, goals)
        self.equal = {name: whole_of(matrix, chosen[name]) for name, matrix in matrices.items()}
        self.own = {find(module, name).name for name in fixed}
        self.chosen = chosen
        self.left = _ASKED

    @cached_property
    def _allowed(self) -> Cycles:
        return cycles_of(self.module, self._with(self.equal))

    @cached_property
    def _order(self) -> list[tuple[int, int]]:
        """Arrays, those that have last refused a move first."""
        return list(self._allowed)

    @cached_property
    def _wanted(self) -> dict[str, Goal]:
        """What magnitudes ask for."""
        return global_goals(self.module, self.asked, None, self._sharing)

    @cached_property
    def _is_equal(self) -> bool:
        return all(self._wanted[name].keep == k for name, k in self.equal.items())

    def goals(self) -> dict[str, Goal]:
        """The most free that cost nothing."""
        if self._is_equal or self._costs_nothing(self._wanted):
            return self._wanted
        least = {name: max(1, k - 1) for name, k in self.equal.items()}
        near = global_goals(self.module, self.asked, least, self._sharing)
        start = near if self._costs_nothing(near) else self._with(self.equal)
        keep = {name: goal.keep or 0 for name, goal in start.items()}
        for _ in range(_MOVES):
            moved = next(filter(self._is_free, self._moves(keep)), None)
            if moved is None or self.left < 0:  # nobody was asked about the last
                break
            keep = moved
        return self._with(keep)

    def slower(self) -> Slower | None:
        """The first array that takes longer with the whole freedom."""
        if self._is_equal:
            return None
        packed = shapes(self.module, self._wanted)
        steps = ((a, _step(packed, a), equal) for a, equal in self._allowed.items())
        return next((Slower(*a, now, equal) for a, now, equal in steps if now > equal), None)

    def _sharing(self, matrix: Matrix) -> Hashable:
        return matrix.name if matrix.name in self.own else alike(matrix)

    def _with(self, keep: Mapping[str, int]) -> dict[str, Goal]:
        return {name: kept(self.chosen[name], k) for name, k in keep.items()}

    def _costs_nothing(self, goals: Mapping[str, Goal]) -> bool:
        found = shapes(self.module, goals)
        layers = sum(len(shape.layers) for shape in found)
        for array in self._order:
            self.left -= layers
            if self.left < 0 or not 0 < _step(found, array) <= self._allowed[array]:
                self._order.remove(array)
                self._order.insert(0, array)
                return False
        return True

    def _is_free(self, keep: Mapping[str, int]) -> bool:
        return self._costs_nothing(self._with(keep))

    @cached_property
    def _shares(self) -> list[list[Share]]:
        return sharers(self.module, self.asked, None, self._sharing)

    def _moves(self, keep: Mapping[str, int]) -> list[dict[str, int]]:
        """What a unit more of one matrix, out of another, comes to; the largest gain first."""
        found = []
        for shares in self._shares:
            for giver, taker in permutations(shares, 2):
                fewer = keep[giver.name] - -(-taker.cost // giver.cost)
                more = keep[taker.name] + 1
                if fewer >= 1 and more <= len(taker.gains):
                    lost = giver.gains[fewer : keep[giver.name]].sum()
                    gain = float(taker.gains[more - 1] - lost)
                    moved = {**keep, giver.name: fewer, taker.name: more}
                    found.append((gain, moved))
        ordered = sorted((pair for pair in found if pair[0] > 0), key=lambda pair: -pair[0])
        return [moved for _, moved in ordered]
