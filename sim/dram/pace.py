"""When an array wants each group of a frame: its pauses, and how long it has a group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from compiler.array.program import Instruction
from compiler.lower.plan import Plan
from compiler.timing.cycle_model import cycle_model

__all__ = ["Pace", "batch_cycles", "pace_of"]

_STEADY = 3  # batches after which they repeat


@dataclass(frozen=True)
class Pace:
    """What an array does with the groups of a frame, or of a batch of several.

    Parameters
    ----------
    waits, holds : tuple of int
        Of each group as :class:`~sim.dram.stream_verilog.StreamJob` takes them.
    """

    waits: tuple[int, ...]
    holds: tuple[int, ...]

    @property
    def cycles(self) -> int:
        """From batch to batch, where words are always there."""
        return sum(self.waits) + sum(self.holds) + len(self.holds)


def pace_of(plan: Plan, part: int = 0) -> Pace:
    """The pace of a steady frame of one of a plan's programs, by its cycle model.

    Parameters
    ----------
    plan : Plan
        Of a streamed design; of a batched one all streams are there.
    part : int
    """
    waits, holds = zip(*_groups(_steady(plan, part), plan.design.batch), strict=True)
    return Pace(waits, holds)


def batch_cycles(plan: Plan, part: int = 0) -> int:
    """:attr:`Pace.cycles` of a program, without a look at its groups."""
    batch = plan.design.batch
    return sum(idle + batch * now.slots * now.interval for idle, now in _steady(plan, part))


def _steady(plan: Plan, part: int) -> list[tuple[int, Instruction]]:
    """Cycles without a group before each pass of a steady batch, and the pass."""
    batch = plan.design.batch
    order = range((_STEADY + 1) * batch)
    model = cycle_model(plan, part)
    run = model.run(len(order), [n < batch for n in order], [n % batch for n in order])
    passes = len(run.issues) // (_STEADY + 1)
    return [(issue.idle, plan.program[issue.address]) for issue in run.issues[-passes:]]


def _groups(passes: Sequence[tuple[int, Instruction]], batch: int) -> Iterator[tuple[int, int]]:
    """(wait, hold) of the groups of passes and of the cycles without one before each."""
    # cycles of a row beyond those of its groups: the last group is on offer in them, if its word
    # is for several streams, or else none
    longer = [now.interval - now.groups for _, now in passes]
    behind = longer[-1] * (batch == 1)
    for (idle, now), extra in zip(passes, longer, strict=True):
        for slot in range(now.slots):
            for group in range(now.groups):
                wait = (0 if group else behind) + (0 if slot or group else idle)
                last = extra if group == now.groups - 1 and batch > 1 else 0
                yield wait, batch * (1 + last) - 1
            behind = extra * (batch == 1)
