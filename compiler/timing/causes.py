"""Where the cycles of a steady step go, from the cycle model: they sum to the step exactly.

A cycle in which a pass runs is split by what its M x N multipliers do:

============  =======================================================================
products      kept weights times their operands
padding rows  rows that exist only to fill the banks of a vector or the PEs
padded banks  entries of real rows that exist only to fill a bank
slack         no group is issued as a pass's ``interval`` is longer than its ``groups``, or one
              of zeros as the row's gate keeps fewer weights than others
============  =======================================================================

A cycle between two passes belongs to what the later pass waited for longest:

============  =======================================================================
drain         a result was on its way through vector bank, multiplier, tree, accumulator
element-wise  ... in a lane or projector, or waited there for its turn
write-back    ... on the write port
frame         the next input frame
room          room in the output buffer
fetch         the next instruction
============  =======================================================================

A pass that waits for states starts in the very cycle in which one beat comes home. Each cycle
of its wait is put down to the stage of the chain in which that beat was in it. So a wait that
other passes fill in part keeps the causes at the end of the chain. Both the group that made
the beat and the one that waits are on their way to the vector banks for some cycles; the two
cancel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from csb_format import Csb, Geometry, IntArray
from csb_format.balance import row_nonzeros

from ..array.latency import Latencies
from ..array.program import Sink
from ..lower.image import Image
from .cycle_model import CycleModel
from .issued import Issued, issued

__all__ = ["CAUSES", "Causes", "causes"]

CAUSES = (
    "products",
    "padding rows",
    "padded banks",
    "slack",
    "drain",
    "element-wise",
    "write-back",
    "frame",
    "room",
    "fetch",
)
FRAMES = 40  # of a run that is taken for steady after its first half
LAST = 3  # frames at the end of a run that lack the next ones as filler


@dataclass(frozen=True)
class Causes:
    """Cycles of a step by cause.

    Parameters
    ----------
    shares : dict of str to Fraction
        Cycles for each of ``CAUSES``, a mean over frames where steps alternate.
    multipliers : int
        M x N.
    nonzeros : int
        Kept weights that a step multiplies.
    dense : int
        Weights of the same matrices without pruning.
    lone_step : int
        Cycles from the first beat of a single frame in to its last beat out.
    """

    shares: dict[str, Fraction]
    multipliers: int
    nonzeros: int
    dense: int
    lone_step: int

    @property
    def cycles(self) -> Fraction:
        """Of a steady step, exactly."""
        return sum(self.shares.values(), Fraction(0))

    @property
    def by_cause(self) -> dict[str, float]:
        """``shares`` for people and files."""
        return {name: float(share) for name, share in self.shares.items()}

    @property
    def floor(self) -> Fraction:
        """Cycles if every multiplier had a stored entry in every cycle: the padded shape."""
        return sum((self.shares[name] for name in CAUSES[:3]), Fraction(0))

    @property
    def utilisation(self) -> float:
        """Share of the multipliers' cycles that go into kept weights, 0..1."""
        return float(self.shares["products"] / self.cycles)

    @property
    def operations_a_cycle(self) -> float:
        """Multiplications and additions of kept weights."""
        return float(2 * self.nonzeros / self.cycles)

    @property
    def dense_operations_a_cycle(self) -> float:
        """Operations that a dense network of the same shape would need in this time."""
        return float(2 * self.dense / self.cycles)


def causes(image: Image, part: int = 0, *, contexts: int = 1) -> Causes:
    """Cycles by cause of a steady step of one of an image's programs.

    Parameters
    ----------
    image : Image
    part : int
    contexts : int
        Streams that take turns.

    Raises
    ------
    ValueError
        If the design keeps fewer contexts, or is a batched one.
    """
    if image.design.batched:
        raise ValueError("batched = True: cycles by cause are of frames that take turns")
    if not 1 <= contexts <= image.design.contexts:
        raise ValueError(
            f"contexts {contexts}: the design keeps {image.design.contexts}; generate it with more"
        )
    order = np.arange(FRAMES)
    first, streams = (order < contexts).tolist(), (order % contexts).tolist()
    model = CycleModel(image, part)
    runs = issued(image, part, model.run(FRAMES, first, streams))
    window, frames = _steady(runs)
    counted = _Counting(image, part, runs)
    total: Counter[str] = Counter()
    for at in window:
        total.update(counted.busy(runs[at]))
        total.update(counted.idle(runs[at], runs[at + 1]))
    multipliers = image.design.multipliers
    lone = model.run(1)
    return Causes(
        {name: Fraction(total[name], multipliers * frames) for name in CAUSES},
        multipliers,
        sum(m.real_nonzeros for m in _matrices(image, part).values()),
        sum(m.geometry.rows * m.geometry.columns for m in _matrices(image, part).values()),
        int(lone.frame_done[0] - lone.frame_in[0]),
    )


def _steady(runs: Sequence[Issued]) -> tuple[range, int]:
    """Passes of a whole number of frames from which on everything repeats, and that number."""
    begins = [n for n, run in enumerate(runs) if run.instruction.advance][: FRAMES - LAST]
    frames = [
        [(r.issue.address, r.issue.start - runs[a].issue.start) for r in runs[a : b + 1]]
        for a, b in pairwise(begins)
    ]
    half = len(frames) // 2
    for period in range(1, half // 2):
        if all(frames[n] == frames[n - period] for n in range(half + period, len(frames))):
            return range(begins[half], begins[half + period]), period
    return range(begins[half], begins[-1]), len(begins) - 1 - half


def _matrices(image: Image, part: int) -> dict[tuple[int, str], Csb]:
    """By layer and name each matrix as it was pruned; the linear layer's as the array sees it."""
    found = {}
    for given in image.parts[part].whole:
        key = given.layer, given.matrix
        if given.linear:
            found[key] = image.matrix(part, given)
            continue
        layer = image.model.layers[image.parts[part].layers[given.layer]]
        found[key] = next(m.matrix for m in layer.matrices if m.name == given.matrix)
    return found


class _Counting:
    """Multiplier-cycles by cause."""

    def __init__(self, image: Image, part: int, runs: Sequence[Issued]):
        self._latencies = Latencies(image.design)
        self._multipliers = image.design.multipliers
        self._kept = {key: _kept(m) for key, m in _matrices(image, part).items()}
        self._homes = {home: beat for run in runs for home, *beat in self._beats(run)}

    def _beats(self, run: Issued) -> Iterator[tuple[int, int, int]]:
        """Of each beat the cycle in which it is home, of its last group, of its result."""
        if run.given.sink == Sink.PARK:
            return
        deals = run.deals(self._latencies)
        home = self._latencies.home(run.given.sink) - self._latencies.row
        lasts = run.last_groups(self._latencies)
        lane = self._latencies.lane(run.given.sink)
        for deal, last in zip(deals.tolist(), lasts.tolist(), strict=True):
            yield deal + home, last, deal + lane

    def busy(self, run: Issued) -> dict[str, int]:
        """Of a pass that runs."""
        now, geometry = run.instruction, run.given.geometry
        rows = run.given.placement.rows[run.slots.start : run.slots.stop]
        # entries of a row of each slot
        issued = now.walk.groups // run.given.placement.design.pieces * geometry.banks
        real = rows[rows >= 0]
        taken = slice(run.given.skips, run.given.skips + max(run.given.groups))
        kept = int(self._kept[run.given.layer, run.given.matrix][real, taken].sum())
        stored = _stored(geometry, real, taken)
        padding = int((issued * (rows < 0).sum(axis=1)).sum())
        waiting = (now.cycles - int(now.walk.groups.sum())) * self._multipliers
        return {
            "products": kept,
            "padded banks": stored - kept,
            "padding rows": padding,
            "slack": waiting + int(issued.sum()) * rows.shape[1] - padding - stored,
        }

    def idle(self, before: Issued, after: Issued) -> dict[str, int]:
        """Of the cycles between two passes."""
        gap = range(before.issue.end + 1, after.issue.start)
        waited = after.issue.waited
        if waited != "state":
            return {waited or "fetch": len(gap) * self._multipliers}
        stages = Counter(self._stage(cycle, *self._homes[after.issue.start]) for cycle in gap)
        return {name: count * self._multipliers for name, count in stages.items()}

    def _stage(self, cycle: int, last: int, result: int) -> str:
        """Where the beat is as a group that was issued in a cycle would read it."""
        read = cycle + self._latencies.read
        if read <= last + self._latencies.row:
            return "drain"
        return "element-wise" if read <= result else "write-back"


def _kept(matrix: Csb) -> IntArray:
    """Kept weights of each row's groups, int64 (rows, groups)."""
    real = matrix.column_indices < matrix.geometry.columns
    return np.asarray(np.count_nonzero(real, axis=2), np.int64)


def _stored(geometry: Geometry, rows: IntArray, groups: slice) -> int:
    """Entries of some groups of some rows, padding of their banks included."""
    inside = np.minimum(row_nonzeros(geometry)[rows], groups.stop) - groups.start
    return int(np.maximum(inside, 0).sum()) * geometry.banks
