"""Two engines on the same job: the same payloads in the same cycles, or where they part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import zip_longest

from .verify import Verification

__all__ = ["disagreement", "with_others"]

Beat = tuple[int, int]


def disagreement(one: Verification, other: Verification) -> str:
    """Where two runs of the same sequences on the same Verilog part; empty if they do not.

    Parameters
    ----------
    one, other : Verification
        Of two engines, without pauses or with the same.

    Returns
    -------
    str
        Level, number of the payload on ``states``, and of both engines what came in which cycle.
    """
    names = one.simulator, other.simulator
    if len(one.runs) != len(other.runs):
        return f"{names[0]} has run {len(one.runs)} levels, {names[1]} {len(other.runs)}"
    for level, (mine, yours) in enumerate(zip(one.runs, other.runs, strict=True)):
        a, b = mine.run.outcome, yours.run.outcome
        beats = [zip(o.payloads, o.cycles, strict=True) for o in (a, b)]
        for number, (x, y) in enumerate(zip_longest(*beats)):
            if x != y:
                found = f"{names[0]} {_told(x)}, {names[1]} {_told(y)}"
                return f"level {level}, payload {number}: {found}"
        if a.total != b.total:
            found = f"{names[0]} in cycle {a.total}, {names[1]} in {b.total}"
            return f"level {level} ends on {found}"
    return ""


def with_others(
    found: Verification, asked: Mapping[str, int], run: Callable[[str, int], Verification]
) -> Verification:
    """The same with what other engines make of its first sequences.

    Parameters
    ----------
    found : Verification
        Where it is not exact nothing more is run.
    asked : dict of str to int
        Sequences, from the first on, by engine; 0 for none.
    run : callable
        Runs so many on an engine, with the options of ``found``.

    Returns
    -------
    Verification
        Up to the first engine that is not exact, or not like that of ``found``.
    """
    for engine, count in asked.items():
        if count and found.exact:
            few = min(count, found.sequences)
            other, same = run(engine, few), found
            if few < found.sequences:
                same = run(found.simulator, few)
            found = replace(found, beside=(*found.beside, other), apart=disagreement(same, other))
    return found


def _told(beat: Beat | None) -> str:
    return "gives nothing" if beat is None else f"gives 0x{beat[0]:x} in cycle {beat[1]}"
