"""What each matrix is to become: a view and a whole number of units to keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import nn

from csb_format.arguments import shown
from csb_format.geometry import Geometry
from csb_format.precision import Precision

from .layers import KINDS, Matrix, UnprunableError, find, matrices, unprunable
from .schedule import Schedule, end_of
from .views import Banks, Layout, View

__all__ = [
    "Goal",
    "MatrixState",
    "UnfinishedError",
    "UnreachableError",
    "check_finished",
    "check_together",
    "goals_for",
    "n_of_m",
    "naming",
    "resolve",
    "whole_of",
]


class UnreachableError(ValueError):
    """A sparsity that no whole number of units comes near."""


class UnfinishedError(ValueError):
    """A schedule that has not come to its end."""


@dataclass(frozen=True)
class Goal:
    """What a matrix is to be pruned to.

    Parameters
    ----------
    view : View
        How it is grouped.
    sparsity : float, optional
        Share of weights to remove, 0..1. The nearest that whole numbers of units per
        group give is taken, at least one unit a group.
    keep : int, optional
        Units to keep per group, at least 1, instead of a sparsity.
    tolerance : float
        Largest difference between the sparsity asked for and the one taken, 0..1;
        beyond it, attaching fails instead of pruning something else silently.
    asked : float, optional
        The sparsity that ``keep`` was found for, together with other matrices; for reports.

    Raises
    ------
    ValueError
        If neither or both of ``sparsity`` and ``keep`` are given, or one is out of range.
    """

    view: View
    sparsity: float | None = None
    keep: int | None = None
    tolerance: float = 0.05
    # States of pruners name their goals by repr: they are the same whatever was asked.
    asked: float | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if (self.sparsity is None) == (self.keep is None):
            raise ValueError(
                f"sparsity = {self.sparsity}, keep = {self.keep}: give either a sparsity or a "
                "number to keep"
            )
        for name, value in (("sparsity", self.sparsity), ("tolerance", self.tolerance)):
            if isinstance(value, bool) or not isinstance(value, float | int | None):
                raise TypeError(f"{name} = {shown(value)}: must be a number, 0 to 1")
        if not isinstance(self.keep, int | float | None):
            raise TypeError(f"keep = {shown(self.keep)}: must be a whole number, at least 1")
        if self.sparsity is not None and not 0 <= self.sparsity <= 1:
            raise ValueError(
                f"sparsity {self.sparsity}: must be 0 to 1; it is the share of weights removed "
                "(0.875, not 87.5)"
            )
        if self.keep is not None and (self.keep != int(self.keep) or self.keep < 1):
            raise ValueError(f"keep {self.keep}: must be a whole number, at least 1 per group")
        if not 0 <= self.tolerance <= 1:
            raise ValueError(f"tolerance {self.tolerance}: must be 0 to 1, a share of weights")

    def whole(self, rows: int, columns: int) -> int:
        """Units to keep per group of a (rows, columns) matrix.

        Raises
        ------
        UnreachableError
            If the nearest sparsity differs by more than the tolerance.
        ValueError
            If the view does not fit the matrix, or ``keep`` exceeds a group.
        """
        layout = self.view.layout(rows, columns)
        if self.keep is not None:
            if self.keep > layout.units:
                raise ValueError(
                    f"keep {self.keep} of {layout.units} units: {self.view} has groups of "
                    f"{layout.units} in a {rows} x {columns} matrix, keep 1 to {layout.units}"
                )
            return int(self.keep)
        assert self.sparsity is not None
        near = layout.nearest(self.sparsity)
        if abs(layout.sparsity(near) - self.sparsity) > self.tolerance + 1e-12:
            raise UnreachableError(
                f"sparsity {self.sparsity:.2%} of a {rows} x {columns} matrix: {self.view} come "
                f"no nearer than {layout.sparsity(near):.2%} ({near} of {layout.units} in "
                "every bank or group); ask for that, or choose larger ones (fewer banks)"
            )
        return near


@dataclass(frozen=True)
class MatrixState:
    """What was asked of one matrix, and what it is now.

    Parameters
    ----------
    matrix : Matrix
    goal : Goal
    keep : int
        Units kept in every group now.
    target : int
        Units kept in every group when the schedule ends.
    achieved : float
        Share of weights that is pruned now, counted in the mask.
    """

    matrix: Matrix
    goal: Goal
    keep: int
    target: int
    achieved: float

    @property
    def name(self) -> str:
        """Parameter name."""
        return self.matrix.name

    @property
    def requested(self) -> float:
        """Sparsity that was asked for; of a goal in units, what they come to."""
        for asked in (self.goal.sparsity, self.goal.asked):
            if asked is not None:
                return asked
        return self._layout.sparsity(self.target)

    @property
    def alone(self) -> float:
        """Sparsity that the request comes to in this matrix alone."""
        return self._layout.sparsity(self._layout.nearest(self.requested))

    @property
    def final(self) -> float:
        """Sparsity when the schedule ends."""
        return self._layout.sparsity(self.target)

    @property
    def note(self) -> str:
        """Why less than the request is reached, or an empty string."""
        most = self._layout.sparsity(self.target)
        if self.target > 1 or most >= self.requested:
            return ""
        return (
            f"{self.name}: {self.requested:.2%} asked, {most:.2%} is the most with 1 of "
            f"{self._layout.units} in every bank or group; choose larger ones (fewer banks)"
        )

    @property
    def _layout(self) -> Layout:
        return self.goal.view.layout(*self.matrix.shape)

    def geometry(self, value_bits: int = Precision.value_bits) -> Geometry:
        """What the matrix is packed in now.

        Parameters
        ----------
        value_bits : int
            Width of a stored value.

        Raises
        ------
        ValueError
            If it is not grouped in banks.
        """
        view = self.goal.view
        if not isinstance(view, Banks):
            raise ValueError(
                f"{self.name} is pruned by {view}: only banks are packed, prune with Banks"
            )
        return view.geometry(*self.matrix.shape, self.keep, value_bits)


def check_finished(schedule: Schedule, position: int, report: Sequence[MatrixState]) -> None:
    """Refuse masks that are on their way.

    Parameters
    ----------
    schedule : Schedule
    position : int
        Steps taken.
    report : sequence of MatrixState
        Of every matrix, at that step.

    Raises
    ------
    UnfinishedError
        Naming the step, what is pruned, what is asked, and the mend.
    """
    if all(state.keep == state.target for state in report):
        return
    weights = [state.matrix.shape[0] * state.matrix.shape[1] for state in report]
    now, then = (
        sum(share * count for share, count in zip(shares, weights, strict=True)) / sum(weights)
        for shares in ([state.achieved for state in report], [state.final for state in report])
    )
    last = end_of(schedule) or "a schedule without end"
    raise UnfinishedError(
        f"step {position} of {last}: {100 * now:.4g} % of "
        f"{100 * then:.4g} % pruned: call pruner.step() after every optimizer.step(), or "
        "attach(optimizer, drive=True), and train to the end of the schedule; unfinished=True "
        "takes the masks as they are"
    )


def check_together(module: nn.Module, goals: Mapping[str, Goal], asked: Goal) -> None:
    """Refuse goals that all together miss a sparsity by more than its tolerance.

    Parameters
    ----------
    module : nn.Module
    goals : mapping of str to Goal
        What each matrix is to keep.
    asked : Goal
        The sparsity of all of them.

    Raises
    ------
    UnreachableError
        Naming what they come to, and the mend.
    """
    if not goals or asked.sparsity is None:
        return
    found, chosen = resolve(module, goals)
    sizes = {name: matrix.shape[0] * matrix.shape[1] for name, matrix in found.items()}
    removed = sum(_removed(matrix, chosen[name]) * sizes[name] for name, matrix in found.items())
    achieved = removed / sum(sizes.values())
    if abs(achieved - asked.sparsity) > asked.tolerance + 1e-12:
        raise UnreachableError(
            f"sparsity {asked.sparsity:.2%} of all matrices together: {asked.view} come no nearer "
            f"than {achieved:.2%}; ask for that, or choose larger ones (fewer banks)"
        )


def _removed(matrix: Matrix, goal: Goal) -> float:
    """Share of a matrix's weights."""
    return goal.view.layout(*matrix.shape).sparsity(whole_of(matrix, goal))


def n_of_m(n: int, m: int) -> Goal:
    """N:M sparsity: of every m neighbours in a row keep n (2:4 is ``n_of_m(2, 4)``)."""
    if not 1 <= n <= m:
        raise ValueError(f"{n}:{m}: of {m} neighbours keep 1 to {m}")
    return Goal(Banks(width=m), keep=n)


def goals_for(
    module: nn.Module, goal: Goal | None = None, by_kind: Mapping[str, Goal] | None = None
) -> dict[str, Goal]:
    """Goals for all matrices of a module, or for some kinds of them.

    Parameters
    ----------
    module : nn.Module
    goal : Goal, optional
        Of every matrix whose kind is not in ``by_kind``; None leaves those dense.
    by_kind : mapping of str to Goal, optional
        By kind (``weight_ih``, ``weight_hh``, ``weight_hr``, ``linear``, ``embedding``):
        BRDS prunes input and recurrent matrices to different ratios.

    Returns
    -------
    dict of str to Goal
        By parameter name, for :class:`pruning.mask.pruner.Pruner`.

    Raises
    ------
    UnprunableError
        If a matrix of such a kind cannot be pruned as it is, for example because another tool
        computes it (weight normalisation): none is left out without a word.
    ValueError
        For an unknown kind, or if nothing is left to prune.
    """
    _check_kinds(by_kind)
    chosen = dict(by_kind or {})
    for name, (kind, why) in unprunable(module).items():
        if chosen.get(kind, goal) is not None:
            raise UnprunableError(
                f"{name!r} {why}; or leave it dense: name the others in goals of your own"
            )
    found = {name: chosen.get(m.kind, goal) for name, m in matrices(module).items()}
    goals = {name: wish for name, wish in found.items() if wish is not None}
    if goals:
        return goals
    kind = type(module).__name__
    if found:
        raise ValueError(
            f"{kind} has no matrix of kind {', '.join(chosen)}: give a goal for a kind that it has"
        )
    raise UnprunableError(
        f"{kind} has no matrix that can be pruned: give LSTM, GRU, RNN, their cells, Linear, "
        "Embedding, or a module that holds one of them"
    )


def _check_kinds(by_kind: Mapping[str, Goal] | None) -> None:
    """Refuse what is no goals by kind."""
    such = "a Goal by kind, such as {'weight_ih': Goal(Banks(8), sparsity=0.5)}"
    if not isinstance(by_kind, Mapping | None):
        raise TypeError(f"by_kind = {shown(by_kind)}: give {such}")
    for kind, goal in (by_kind or {}).items():
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r}: choose from {', '.join(KINDS)}")
        if not isinstance(goal, Goal):
            raise TypeError(f"by_kind[{kind!r}] = {shown(goal)}: give {such}")


def resolve(
    module: nn.Module, goals: Mapping[str, Goal]
) -> tuple[dict[str, Matrix], dict[str, Goal]]:
    """Matrices and their goals, both by name, each shared matrix once.

    Raises
    ------
    UnprunableError
        If a name is no matrix that can be pruned.
    ValueError
        If there is no goal, or two names of one matrix have different goals.
    """
    found: dict[str, Matrix] = {}
    chosen: dict[str, Goal] = {}
    for name, goal in goals.items():
        if not isinstance(goal, Goal):
            raise TypeError(
                f"goals[{name!r}] = {shown(goal)}: give a Goal, such as "
                "Goal(Banks(8), sparsity=0.5)"
            )
        matrix = find(module, name)
        if chosen.get(matrix.name, goal) != goal:
            raise ValueError(
                f"{name} shares its weights with {matrix.name} and has another goal: "
                "give one goal for both"
            )
        found[matrix.name], chosen[matrix.name] = matrix, goal
    if not found:
        raise ValueError("no goals: name at least one matrix, or use goals_for(module, goal)")
    return found, chosen


def whole_of(matrix: Matrix, goal: Goal) -> int:
    """:meth:`Goal.whole` of a matrix; errors name it."""
    with naming(matrix.name):
        return goal.whole(*matrix.shape)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Put a matrix's name before the text of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise type(error)(f"{name}: {error}") from error
