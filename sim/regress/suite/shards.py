"""A suite split over machines that do not know of each other: the same parts on each of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from .suite import Suite
from .values import SuiteError

__all__ = ["Shard", "split"]

MOST = 1000
UNKNOWN = 1.0  # seconds of a case that has never run, where no case has
# Seconds that a simulator takes to be built: a shard that has it already is the better place.
BUILD = {"icarus": 1.0, "verilator": 15.0, "verilator-free": 15.0}


@dataclass(frozen=True)
class Shard:
    """A part of a suite.

    Parameters
    ----------
    number : int
        From 1.
    count : int
        Parts that there are.
    """

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @classmethod
    def of(cls, text: str) -> Shard:
        """The part that a text such as ``2/4`` names.

        Raises
        ------
        SuiteError
            For anything else.
        """
        found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
        number, count = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= number <= count <= MOST:
            raise SuiteError(
                f"--shard {text[:40]!r}: give part and parts, such as 2/4, with 1 to {MOST} parts"
            )
        return cls(number, count)


def split(
    suite: Suite, count: int, keys: Mapping[str, str], seconds: Mapping[str, float]
) -> list[Suite]:
    """Parts of a suite that take about the same time, each case in one of them.

    The longest case goes first, each to the part that would be ready first with it; what its
    simulator takes to be built counts where the part does not have it yet.

    Parameters
    ----------
    suite : Suite
    count : int
    keys : mapping of str to str
        By case, what names its simulator; empty where it needs none.
    seconds : mapping of str to float
        By case, what it took before; the mean of these for others.

    Raises
    ------
    SuiteError
        If there are fewer cases than parts.
    """
    if count > len(suite.cases):
        raise SuiteError(
            f"--shard: {suite.name} has {len(suite.cases)} cases, which make no {count} parts: "
            "give fewer"
        )
    known = [seconds[case.name] for case in suite.cases if case.name in seconds]
    mean = sum(known) / len(known) if known else UNKNOWN
    load, built = [0.0] * count, [set[str]() for _ in range(count)]
    chosen: dict[str, int] = {}
    order = sorted(suite.cases, key=lambda case: (-seconds.get(case.name, mean), case.name))
    for case in order:
        key = keys.get(case.name, "")
        build = BUILD.get(case.simulator, 0.0) if key else 0.0
        took = seconds.get(case.name, mean)
        ready = [load[n] + took + (0 if key in built[n] else build) for n in range(count)]
        part = min(range(count), key=lambda n: (ready[n], n))
        load[part], chosen[case.name] = ready[part], part
        built[part].add(key)
    return [
        replace(suite, cases=tuple(case for case in suite.cases if chosen[case.name] == part))
        for part in range(count)
    ]
