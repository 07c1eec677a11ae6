"""Whether an array is too large for a model, and what streams side by side would bring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compiler.array.design import MOST_BACK
from compiler.array.needs import design_for
from compiler.array.screen.latency import screened_cycles
from compiler.lower.schedule import schedule
from compiler.timing.cycle_model import step_cycles
from csb_format.model import Model
from csb_format.scales import DesignError
from csb_format.shape import ModelShape

from .board import Board
from .cells.learned import shipped
from .resources import Choice

__all__ = ["Advice", "advise", "behind", "busy_share"]

BUSY = 0.9  # of an array that is not too large
HARDLY = 1.05  # times the cycles of the fastest
GAIN = 1.05  # times the frames a second, for which one more stream is worth its memory


@dataclass(frozen=True)
class Advice:
    """What the fastest array does with a model, and what would use it better.

    Parameters
    ----------
    best : Choice
    busy : float
        Share of its multipliers' cycles that go into kept weights, 0..1.
    streams : int
        Contexts that would be worth their memory; those of ``best`` if no more are.
    cycles : float
        Of a step with so many streams.
    smaller : Choice or None
        An array of fewer multipliers that takes hardly longer.
    """

    best: Choice
    busy: float
    streams: int
    cycles: float
    smaller: Choice | None

    @property
    def lines(self) -> list[str]:
        """For people; none where the array is busy."""
        if self.busy >= BUSY:
            return []
        design, found = self.best.design, []
        array = f"{design.pes} x {design.lanes}"
        waits = f"{array} is too large for this model: {self.busy:.0%} of its multipliers' cycles"
        found.append(f"{waits} are products, the others are waits and padding.")
        if self.smaller:
            less = self.smaller.design
            found.append(
                f"{less.pes} x {less.lanes} takes {self.smaller.microseconds:.2f} us with "
                f"{less.multipliers} instead of {design.multipliers} multipliers."
            )
        if self.streams > design.contexts:
            share = self.busy * self.best.cycles / self.cycles
            found.append(
                f"--contexts {self.streams}: with so many streams side by side a frame takes "
                f"{self.cycles:g} cycles instead of {self.best.cycles:g}, {share:.0%} are products."
            )
        return found


def behind(model: Model, board: Board, best: Choice) -> str:
    """What the screen unit behind an array costs, and the whole head there where it takes less.

    Empty without a unit.

    Parameters
    ----------
    model : Model
    board : Board
    best : Choice
    """
    design = best.design
    if design.screen is None:
        return ""
    said = (
        f"The screen unit, the {design.screen.top} largest of {design.screen.rows:,} logits: "
        f"{screened_cycles(design.screen):,} cycles a frame, an estimate. They depend on data, few "
        "rows in question take fewer, many more; sparseflow simulate counts them."
    )
    try:
        whole = design_for(
            model, design.pes, design.lanes, design.units, contexts=design.contexts,
            by_gate=design.by_gate, head=True, dense=True, **board.options,
        )  # fmt: skip
    except DesignError:
        return said
    cycles = step_cycles(schedule(model, whole, head=True), design.contexts)
    if cycles >= best.cycles:
        return said
    return (
        f"{said}\nAll logits on the array itself, verilog --head --dense: {cycles:,} cycles a "
        "step, without the unit."
    )


def busy_share(model: Model | ModelShape, choice: Choice) -> float:
    """Share of an array's multiplier cycles that go into kept weights, 0..1."""
    return model.shape.real_nonzeros / (choice.design.multipliers * choice.cycles)


def advise(model: Model | ModelShape, board: Board, every: Sequence[Choice]) -> Advice | None:
    """Look at the fastest array of a board that fits.

    Parameters
    ----------
    model : Model or ModelShape
    board : Board
    every : sequence of Choice
        As :func:`.resources.choices` gives them.

    Returns
    -------
    Advice or None
        None where no array fits.
    """
    fitting = [choice for choice in every if choice.fits]
    if not fitting:
        return None
    best = fitting[0]
    size = best.design.multipliers
    near = (c for c in fitting if c.microseconds <= HARDLY * best.microseconds)
    smaller = min(near, key=lambda c: c.design.multipliers)
    streams, cycles = _streams(model, board, best)
    less = smaller if smaller.design.multipliers < size else None
    return Advice(best, busy_share(model, best), streams, cycles, less)


def _streams(model: Model | ModelShape, board: Board, best: Choice) -> tuple[int, float]:
    """As many streams as each bring more frames a second and fit, and cycles of a step."""
    found = best.design.contexts, best.cycles
    for contexts in range(best.design.contexts + 1, MOST_BACK + 1):
        try:
            design = design_for(
                model, best.design.pes, best.design.lanes, best.design.units,
                contexts=contexts, by_gate=best.design.by_gate,
                largest=best.design.screen.top if best.design.screen else 0, **board.options,
            )  # fmt: skip
        except DesignError:
            break
        _, share = shipped().likely(design, board).limit(board.has)
        cycles = step_cycles(schedule(model, design), contexts)
        if share > 1 or found[1] < GAIN * cycles:
            break
        found = contexts, cycles
    return found
