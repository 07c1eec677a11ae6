"""The passes of a model behind the instructions that ran, chunk by chunk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csb_format import IntArray

from ..array.latency import Latencies
from ..array.program import Instruction
from ..lower.passes import Pass
from ..lower.plan import Plan
from .cycle_model import Issue, Schedule

__all__ = ["Issued", "issued"]


@dataclass(frozen=True)
class Issued:
    """One pass, or some of its slots, as it ran.

    Parameters
    ----------
    issue : Issue
    given : Pass
        The whole pass.
    instruction : Instruction
        What ran.
    """

    issue: Issue
    given: Pass
    instruction: Instruction

    @property
    def frame(self) -> int:
        """Whose pass it is."""
        return self.issue.frame

    @property
    def first(self) -> int:
        """The first of the pass's slots that ran."""
        return self.instruction.slot - self.given.instruction.slot

    @property
    def slots(self) -> range:
        """The slots of the pass that ran."""
        return range(self.first, self.first + self.instruction.slots)

    def cycle(self, slot: int, group: int = 0) -> int:
        """Cycle in which a group of a slot of the pass is issued."""
        return int(self.issue.start + self.instruction.walk.starts[slot - self.first] + group)

    def groups(self, slot: int) -> int:
        """Groups of a slot of the pass."""
        return int(self.instruction.walk.groups[slot - self.first])

    def word(self, slot: int, group: int = 0) -> int:
        """Its place in the matrix memories."""
        now = self.instruction
        group = int(now.walk.words[slot - self.first]) + group
        return now.matrix + group // self.given.per_word

    def last_groups(self, latencies: Latencies) -> IntArray:
        """For each beat of its results the issue of its slot's last group, int64 (beats,)."""
        slots, _ = latencies.ready(self.instruction)
        return np.asarray(self.issue.start + self.instruction.walk.lasts[slots], np.int64)

    def deals(self, latencies: Latencies) -> IntArray:
        """Cycle in which each beat is dealt to the lanes, int64 (beats,)."""
        _, places = latencies.ready(self.instruction)
        return self.last_groups(latencies) + latencies.row + places


def issued(plan: Plan, part: int, schedule: Schedule) -> list[Issued]:
    """The passes of a run of one of a plan's programs, in the order in which they ran."""
    by_key = {_key(given.instruction): given for given in plan.parts[part].whole}
    found = []
    for issue in schedule.issues:
        instruction = plan.program[issue.address]
        found.append(Issued(issue, by_key[_key(instruction)], instruction))
    return found


def _key(instruction: Instruction) -> tuple[int, ...]:
    """No two passes of a program are of one kind and have the same vector and the same taker."""
    return instruction.source_kind, instruction.source, instruction.sink, instruction.kind
