"""Cycles and bytes a token of an array with a screen unit behind it, by the cycle model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from compiler.array.needs import design_for
from compiler.array.screen.bus import ScreenBus, outside
from compiler.array.screen.design import ScreenDesign
from compiler.lower.schedule import schedule
from compiler.timing.cycle_model import step_cycles
from compiler.timing.screen_cycles import ScreenCycles, Screened, ScreenedSchedule
from csb_format import Model
from csb_format.fixed import IntArray
from csb_format.random_models import random_network
from csb_format.screening.layer import ScreenedLayer

from ..array.utilisation import PTB_GATES

__all__ = ["ARRAYS", "BUSES", "array_units", "cycles", "pruned", "unit_for"]

#: M and N of an array, and the banks of what it runs.
ARRAYS = ((16, 8), (64, 16))
#: Bits of the bus that planes come over; none: they lie on the chip.
BUSES = (None, 128, 512)
TOPS = (1, 5)


def pruned(size: int, lanes: int) -> Model:
    """Two layers of so many units as they are pruned per gate; weights do not matter for cycles.

    What is kept is that of :data:`bench.array.utilisation.PTB_GATES`, whose banks are 25 wide.
    """
    width = -(-size // lanes)
    rng, gates = np.random.default_rng(0), PTB_GATES[1]  # the fuller of both layers, twice
    kept = [tuple(max(1, -(-k * width // 25)) for k in half) for half in gates]
    return random_network(rng, size, size, lanes, (kept[0], kept[1], 1), layers=2)


def array_units(size: int, pes: int, lanes: int) -> int:
    """Elements of a state that an array gives in a cycle, behind two layers of so many units."""
    return design_for(pruned(size, lanes), pes, lanes).units


def cycles(head: ScreenedLayer, states: IntArray) -> Iterator[dict[str, Any]]:
    """A row for each array, memory and k: an LSTM of two layers of the head's inputs before it.

    Parameters
    ----------
    head : ScreenedLayer
    states : int64 array (T, H)
        Of a text, token by token.
    """
    for pes, lanes in ARRAYS:
        lstm = pruned(head.input_size, lanes)
        design = design_for(lstm, pes, lanes)
        plan = schedule(lstm.shape, design)
        for bus in BUSES:
            for top in TOPS:
                unit = unit_for(head, top, design.units, bus)
                found = ScreenCycles(unit, head, ScreenBus(bus) if bus else None).run(states)
                together = ScreenedSchedule(plan, found)
                together.run(len(states))
                about = {"pes": pes, "lanes": lanes, "bus_bits": bus, "k": top}
                alone = {"lstm_cycles": step_cycles(plan), "tokens": len(states)}
                yield about | alone | _told(head, unit, bus, found, together.results)


def unit_for(head: ScreenedLayer, top: int, elements: int, bus: int | None) -> ScreenDesign:
    """All columns of a first plane in a cycle, of other planes in six."""
    columns = -(-head.input_size // elements) * elements
    lanes = elements * -(-columns // (6 * elements))
    made = ScreenDesign.of(head, top=top, digits=columns, lanes=lanes, elements=elements)
    return made if bus is None else outside(made, bus)


def _told(
    head: ScreenedLayer,
    unit: ScreenDesign,
    bus: int | None,
    found: list[Screened],
    results: list[int],
) -> dict[str, Any]:
    steps, alone = np.diff(results), np.array([one.cycles for one in found])
    names = ("first", "second", "exact")
    counts = {name: np.array([getattr(one, name) for one in found]) for name in names}
    sizes = unit.groups * 2 * unit.digits + 32, unit.words * 5 * unit.lanes + unit.second_bits
    whole = unit.words * unit.lanes * (5 + unit.low_bits) + unit.logit_bits + unit.row_bits
    read = (counts["first"] * sizes[0] + counts["second"] * sizes[1] + counts["exact"] * whole) / 8
    read = read + 4 * unit.blocks
    if bus:
        rows = zip(*counts.values(), strict=True)
        read = np.array([ScreenBus(bus).bytes(unit, *map(int, row)) for row in rows])
    return {
        "cycles_per_token": _spread(steps),
        "screen_cycles": _spread(alone),
        "bytes_per_token": float(read.mean()),
        "bytes_dense": head.weight.size * 21 // 8,
        "rows": {name: float(count.mean()) for name, count in counts.items()},
    }


def _spread(values: IntArray) -> dict[str, float]:
    return {
        "mean": float(values.mean()),
        "p99": float(np.quantile(values, 0.99)),
        "worst": float(values.max()),
    }
