"""Held-out shapes on three arrays, by the exact cycle model: where utilisation has cliffs.

``python -m bench.array.utilisation --only shapes --json bench/results/utilisation.json`` writes
them beside the rows that are simulated. No shape of these was looked at when arrays were designed
but for those whose names begin with ``cliff``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from statistics import median
from typing import Any

from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.lower.schedule import schedule
from compiler.timing.cycle_model import step_cycles
from csb_format.cells import LSTM
from csb_format.shape import ModelShape, uniform_shape

__all__ = [
    "ARRAYS",
    "SHAPES",
    "STREAMS",
    "HeldOut",
    "cliffs_table",
    "measured",
    "measured_of",
    "pairs",
    "pairs_of",
    "shapes_markdown",
]

ARRAYS = ((16, 8), (64, 16), (256, 16))
GRID = (*range(4, 65, 4), *range(80, 257, 16))  # PEs, each with 8 and with 16 lanes
STREAMS = (1, 2, 4)
KEPT = 1 / 8  # of the weights of a bank, 87.5 % sparse; at least one


@dataclass(frozen=True)
class HeldOut:
    """A network of one shape, pruned to 87.5 % in as many banks as an array has lanes.

    Parameters
    ----------
    name : str
    inputs, units : int
        X, H.
    layers, directions, projection : int
    cell : str
    """

    name: str
    inputs: int
    units: int
    layers: int = 1
    directions: int = 1
    projection: int = 0
    cell: str = LSTM

    def shape(self, lanes: int) -> ModelShape:
        """For arrays of so many lanes."""
        output = self.projection or self.units
        widths = (-(-columns // lanes) for columns in (self.inputs, output, self.units))
        return uniform_shape(
            self.inputs,
            self.units,
            (lanes,) * 3,
            [max(1, round(width * KEPT)) for width in widths],
            layers=self.layers,
            directions=self.directions,
            projection=self.projection,
            cell=self.cell,
        )


SHAPES = (
    *(HeldOut(f"ECG, {x} channel{'s' * (x > 1)}", x, 32) for x in (1, 2)),
    *(HeldOut(f"sensors, {x} channels", x, h) for x, h in ((3, 64), (6, 64), (9, 128), (12, 128))),
    HeldOut("sensors, two layers", 6, 64, 2),
    HeldOut("sensors, two directions", 9, 100, 1, 2),
    HeldOut("sensors, GRU", 3, 64, cell="gru"),
    HeldOut("sensors, GRU, reset first", 9, 128, cell="gru0"),
    HeldOut("glucose", 4, 96),
    HeldOut("key words", 40, 128),
    HeldOut("key words, two layers", 40, 128, 2),
    HeldOut("key words, GRU", 40, 154, cell="gru"),
    HeldOut("noise, GRU", 42, 96, 3, cell="gru"),
    HeldOut("phones", 39, 250),
    HeldOut("phones, two directions", 39, 250, 1, 2),
    HeldOut("characters", 64, 200),
    HeldOut("characters, two layers", 128, 200, 2),
    HeldOut("words, small", 200, 200, 2),
    HeldOut("words, medium", 650, 650, 2),
    HeldOut("tags, two directions", 100, 200, 1, 2),
    HeldOut("tags, two levels", 300, 256, 2, 2),
    HeldOut("translation", 512, 512, 2),
    HeldOut("speech, projected", 80, 512, 1, 1, 256),
    HeldOut("speech, two projected", 80, 800, 2, 1, 512),
    HeldOut("speech, two directions", 120, 320, 2, 2),
    HeldOut("speech, GRU", 153, 512, 2, cell="gru"),
    HeldOut("video", 1024, 512),
    HeldOut("traffic", 207, 300),
    HeldOut("cliff: 128 units", 128, 128),
    HeldOut("cliff: 120 units", 120, 120),
    HeldOut("cliff: 256 units, two directions", 256, 256, 1, 2),
    HeldOut("cliff: 512 inputs, two directions", 512, 256, 1, 2),
)


def measured() -> Iterator[dict[str, Any]]:
    """A row for each shape and array: cycles of a step, and the share that is kept weights."""
    for held in SHAPES:
        yield from measured_of(held)


def measured_of(held: HeldOut) -> Iterator[dict[str, Any]]:
    """The rows of one shape."""
    for pes, lanes in ARRAYS:
        yield _row(held, pes, lanes)


def _row(held: HeldOut, pes: int, lanes: int) -> dict[str, Any]:
    shape = held.shape(lanes)
    designs = {n: design_for(shape, pes, lanes, contexts=n) for n in STREAMS}
    cycles = {n: step_cycles(schedule(shape, design), n) for n, design in designs.items()}
    shallow = step_cycles(schedule(shape, design_for(shape, pes, lanes, shallow=True)))
    kept = shape.real_nonzeros
    alone: Design = designs[1]
    return {
        "shape": held.name,
        "M": pes,
        "N": lanes,
        "E": alone.units,
        "Q": alone.projectors,
        "nonzeros": kept,
        "cycles": {str(n): count for n, count in cycles.items()},
        "utilisation": {str(n): kept / (count * pes * lanes) for n, count in cycles.items()},
        "shallow": {"cycles": shallow, "utilisation": kept / (shallow * pes * lanes)},
    }


def pairs() -> dict[str, Any]:
    """Arrays of one more step of :data:`GRID` beside each other: which of the larger is slower."""
    sizes = list(product(SHAPES, (8, 16), STREAMS))
    slower = [row for of in sizes for row in pairs_of(*of)]
    return {"count": len(sizes) * (len(GRID) - 1), "slower": slower}


def pairs_of(held: HeldOut, lanes: int, streams: int) -> list[dict[str, Any]]:
    """Those of a shape whose larger array takes more cycles, with both arrays' figures."""
    shape = held.shape(lanes)
    designs = [design_for(shape, pes, lanes, contexts=streams) for pes in GRID]
    found = [(design, step_cycles(schedule(shape, design), streams)) for design in designs]
    return [
        {"shape": held.name, "N": lanes, "streams": streams,
         "M": [of.pes, then.pes], "cycles": [few, many],
         "E": [of.units, then.units], "units_a_slot": [of.units_per_slot, then.units_per_slot]}
        for (of, few), (then, many) in pairwise(found) if many > few
    ]  # fmt: skip


def cliffs_table(rows: list[dict[str, Any]]) -> str:
    """Medians of all shapes by streams, and shapes that once had a cliff."""
    arrays = [f"{pes} x {lanes}" for pes, lanes in ARRAYS]
    lines = [f"| busy, 87.5 % sparse | {' | '.join(arrays)} |", "|---|" + "---:|" * len(arrays)]
    kinds = [("one stream, shallow", [row["shallow"]["utilisation"] for row in rows])]
    for n in reversed(STREAMS):
        many = f"{n} streams" if n > 1 else "one stream"
        kinds.insert(0, (many, [row["utilisation"][str(n)] for row in rows]))
    for kind, shares in kinds:
        of_array = (
            [s for s, row in zip(shares, rows, strict=True) if (row["M"], row["N"]) == array]
            for array in ARRAYS
        )
        cells = " | ".join(f"{median(of):.0%}" for of in of_array)
        lines.append(f"| median of {len(SHAPES)} shapes, {kind} | {cells} |")
    for name in ("ECG, 1 channel", "cliff: 128 units", "cliff: 256 units, two directions"):
        found = [row["utilisation"] for row in rows if row["shape"] == name]
        cells = " | ".join(" / ".join(f"{share:.0%}" for share in of.values()) for of in found)
        lines.append(f"| {name.removeprefix('cliff: ')}, 1 / 2 / 4 streams | {cells} |")
    return "\n".join(lines)


def shapes_markdown(rows: list[dict[str, Any]]) -> list[str]:
    """A table: of each shape on each array the share with one stream and with several."""
    arrays = [f"{pes} x {lanes}" for pes, lanes in ARRAYS]
    streams = "/".join(map(str, STREAMS))
    lines = [
        f"Held-out shapes at 87.5 %, by the cycle model, with {streams} streams side by side:",
        "",
        f"| shape | {' | '.join(arrays)} |",
        "|---|" + "---:|" * len(arrays),
    ]
    for held in SHAPES:
        found = {f"{row['M']} x {row['N']}": row for row in rows if row["shape"] == held.name}
        shares = (found[array]["utilisation"].values() for array in arrays)
        cells = (" / ".join(f"{share:.0%}" for share in each) for each in shares)
        lines.append(f"| {held.name} | {' | '.join(cells)} |")
    return lines
