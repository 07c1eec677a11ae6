"""A streamed matrix against the width of its bus.

``python -m bench.array.dram [--json FILE] [--bits 64 ...] [--array 4x4]`` reads the TIMIT layer
(153 -> 1024, projection 512; 1 of 10, 4 of 32 and 8 of 64 weights kept in each of 16 banks) from
a memory of random latency, for arrays of 64 x 16 and of 4 x 4 multipliers, on Verilator. A
stand-in for the core takes one group a cycle and pauses between passes. Every group is compared,
and the cycle of every group and beat with the model of :mod:`sim.dram.stream_cycles`. Floor: the
larger of bytes / (bus bytes a cycle) and groups / (one a cycle).

``--streams 8`` lets so many streams share the words, on 64 x 16 (``compiler.array.batch``): the
stand-in has a group for as many cycles, and pauses between passes, as the cycle model of the core
says (:mod:`sim.dram.pace`, which a test holds to the core).
"""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.lower.schedule import schedule
from csb_format.files.folders import temporary_folder
from csb_format.shape import uniform_shape
from hdl.dram.matrix import MatrixImage, lay_out
from hdl.dram.reader import ReadBus
from sim.axi_memory import Lateness
from sim.dram.pace import pace_of
from sim.dram.stream_cycles import StreamCycles, stream_cycles
from sim.dram.stream_verilog import StreamJob, StreamOutcome, emit_streamed, simulate_streamed

from ..record import write_record

SEED = 0
BASE = 1 << 30
WIDTHS = (64, 128, 256, 512)
LATENCY = (20, 120)
PAUSE = 25
FRAMES = 2


@dataclass(frozen=True)
class Shape:
    """A workload on an array: rows, k and bank width of its matrices, all in 16 banks."""

    name: str
    pes: int
    lanes: int
    matrices: tuple[tuple[int, int, int], ...]
    banks: int = 16

    @property
    def merged(self) -> int:
        return self.banks // self.lanes

    @property
    def index_bits(self) -> int:
        return max((width * self.merged - 1).bit_length() for _, _, width in self.matrices)

    @property
    def passes(self) -> tuple[int, ...]:
        """Groups of every pass."""
        return tuple(-(-rows // self.pes) * k * self.merged for rows, k, _ in self.matrices)

    @property
    def nonzeros(self) -> int:
        return sum(rows * k * self.banks for rows, k, _ in self.matrices)

    @property
    def weights(self) -> int:
        return TIMIT_WEIGHTS

    @property
    def design(self) -> Design:
        """An array of that width; only widths matter here."""
        return Design(
            pes=self.pes,
            lanes=self.lanes,
            units=1,
            row_groups=1,
            matrix_depth=1,
            vector_depth=1,
            slots=1,
            cells=1,
            output_depth=1,
            index_bits=self.index_bits,
            streamed=True,
        )


TIMIT = ((4096, 1, 10), (4096, 4, 32), (512, 8, 64))
STREAMED_WIDTHS = (128, 512)
MEGAHERTZ = 100  # of frames a second
TIMIT_WEIGHTS = 4096 * (153 + 512) + 512 * 1024
SHAPES = (
    Shape("TIMIT layer", 64, 16, TIMIT),
    Shape("TIMIT layer", 4, 4, TIMIT),
)


def main(
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    bits: Annotated[list[int] | None, typer.Option(help="Widths of the bus.")] = None,
    array: Annotated[Literal["64x16", "4x4"] | None, typer.Option(help="Only this.")] = None,
    streams: Annotated[list[int] | None, typer.Option(help="That share the words.")] = None,
) -> None:
    """Simulate, print a table, write JSON."""
    if streams:
        shared = [_shared_row(n, width) for width in bits or STREAMED_WIDTHS for n in streams]
        Console(width=140).print(_shared_table(shared))
        if json:
            write_record(
                json, "bench.array.dram", SEED, shared, latency=LATENCY, megahertz=MEGAHERTZ
            )
        return
    shapes = [s for s in SHAPES if array in (None, f"{s.pes}x{s.lanes}")]
    rows = [_row(shape, width) for shape in shapes for width in bits or WIDTHS]
    Console(width=140).print(_table(rows))
    if json:
        write_record(json, "bench.array.dram", SEED, rows, latency=LATENCY, pause=PAUSE)


def _row(shape: Shape, width: int) -> dict[str, Any]:
    """One simulation: steady frame, its floors, and the model's word for it."""
    bus = ReadBus(width, burst_beats=64, outstanding=8, fifo_beats=256)
    image = _image(shape, width)
    job = StreamJob(bus, image, BASE, Lateness(LATENCY, seed=SEED), shape.passes, PAUSE, FRAMES)
    outcome, model = _simulated(shape, job)
    cycles, modelled = (run[-1] - run[-1 - image.groups] for run in (outcome.taken, model.taken))
    return _figures(shape, bus, image, cycles) | {
        "model_cycles": modelled,
        "mismatches": len(outcome.wrong),
        "lone_frame": outcome.taken[image.groups - 1] + 1,
        "bursts": outcome.bursts,
        "bus": asdict(bus) | {"covered_latency": bus.covered_latency},
    }


def shared_job(streams: int, width: int) -> tuple[StreamJob, int]:
    """What is simulated where streams share the words, and cycles of the array alone."""
    shape = SHAPES[0]
    shares: dict[str, Any] = {"streamed": True, "contexts": streams, "batched": streams > 1}
    network = uniform_shape(153, 1024, (16,) * 3, [k for _, k, _ in TIMIT], projection=512)
    plan = schedule(network, design_for(network, shape.pes, shape.lanes, **shares))
    pace, bus = pace_of(plan), ReadBus(width, burst_beats=64, outstanding=8, fifo_beats=256)
    image = _image(shape, width)
    late = Lateness(LATENCY, seed=SEED)
    return StreamJob(bus, image, BASE, late, (), 0, FRAMES, *astuple(pace)), pace.cycles


def _shared_row(streams: int, width: int) -> dict[str, Any]:
    """One simulation of a steady batch."""
    shape, (job, array) = SHAPES[0], shared_job(streams, width)
    image = job.image
    outcome, model = _simulated(shape, job)
    cycles, modelled = (run[-1] - run[-1 - image.groups] for run in (outcome.taken, model.taken))
    return {
        "streams": streams,
        "M": shape.pes,
        "N": shape.lanes,
        "bus_bits": width,
        "bytes": image.length,
        "floor_bus": image.beats,
        "array_cycles": array,
        "rtl_cycles": cycles,
        "model_cycles": modelled,
        "mismatches": len(outcome.wrong),
        "frames_a_second": streams * MEGAHERTZ * 1e6 / cycles,
        "macs_per_cycle": streams * shape.nonzeros / cycles,
        "utilisation": streams * shape.nonzeros / (cycles * shape.pes * shape.lanes),
    }


def _simulated(shape: Shape, job: StreamJob) -> tuple[StreamOutcome, StreamCycles]:
    """What happened, and what the model says; the same, or the command ends."""
    bus, image, width = job.bus, job.image, job.bus.data_bits
    with temporary_folder("bench") as folder:
        files = emit_streamed(shape.design, bus, Path(folder) / "verilog")
        outcome = simulate_streamed(files, job, Path(folder))
    model = stream_cycles(
        bus, image, FRAMES, base=BASE, lateness=job.lateness, pause=job.pause_of, hold=job.hold_of
    )
    same = outcome.taken == model.taken
    same &= outcome.arrived[: len(model.arrived)] == model.arrived
    if outcome.wrong or outcome.violations or outcome.errors or not same:
        raise SystemExit(
            f"error: {shape}, {width} bits: {len(outcome.wrong)} wrong groups, "
            f"{outcome.violations}, errors {outcome.errors}, model equal: {same}"
        )
    return outcome, model


def _figures(shape: Shape, bus: ReadBus, image: MatrixImage, cycles: int) -> dict[str, Any]:
    array = image.groups + PAUSE * len(shape.passes)
    multipliers = shape.pes * shape.lanes
    return {
        "workload": shape.name,
        "M": shape.pes,
        "N": shape.lanes,
        "bus_bits": bus.data_bits,
        "nonzeros": shape.nonzeros,
        "bits_per_weight": 16 + shape.index_bits,
        "bytes": image.length,
        "floor_bus": image.beats,
        "floor_groups": image.groups,
        "array_cycles": array,
        "rtl_cycles": cycles,
        "bus_utilisation": image.beats / cycles,
        "utilisation": shape.nonzeros / (cycles * multipliers),
        "utilisation_at_floor": shape.nonzeros / (max(image.beats, array) * multipliers),
        "macs_per_cycle": shape.nonzeros / cycles,
        "dense_macs_per_cycle": shape.weights / cycles,
    }


def _image(shape: Shape, width: int) -> MatrixImage:
    """Random words: only their place matters here."""
    design, rng = shape.design, np.random.default_rng(SEED)
    size, mask = -(-design.word_bits // 8), (1 << design.word_bits) - 1
    raw = rng.bytes(size * design.pes * sum(shape.passes))
    words = [int.from_bytes(raw[i : i + size]) & mask for i in range(0, len(raw), size)]
    groups = (words[i : i + design.pes] for i in range(0, len(words), design.pes))
    return lay_out(groups, design, width)


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title=f"Streamed matrix, memory latency {LATENCY[0]} to {LATENCY[1]} cycles")
    names = ["workload", "array", "bits/weight", "bytes", "bus", "floor: bus", "floor: groups"]
    names += ["cycles", "model", "bus busy", "MACs/cycle", "dense MACs/cycle", "multipliers busy"]
    for name in names:
        table.add_column(name, justify="right")
    for r in rows:
        table.add_row(
            r["workload"],
            f"{r['M']} x {r['N']}",
            str(r["bits_per_weight"]),
            f"{r['bytes']:,}",
            str(r["bus_bits"]),
            f"{r['floor_bus']:,}",
            f"{r['floor_groups']:,}",
            f"{r['rtl_cycles']:,}",
            f"{r['model_cycles']:,}",
            f"{r['bus_utilisation']:.2%}",
            f"{r['macs_per_cycle']:.2f}",
            f"{r['dense_macs_per_cycle']:.1f}",
            f"{r['utilisation']:.2%}",
        )
    return table


def _shared_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title=f"Streams that share a word, 64 x 16, frames at {MEGAHERTZ} MHz")
    names = ["streams", "bus", "floor: bus", "array", "cycles", "model", "frames/s"]
    for name in (*names, "MACs/cycle", "multipliers busy"):
        table.add_column(name, justify="right")
    for r in rows:
        counts = ("floor_bus", "array_cycles", "rtl_cycles", "model_cycles")
        table.add_row(
            *(f"{r[name]}" for name in ("streams", "bus_bits")),
            *(f"{r[name]:,}" for name in counts),
            f"{r['frames_a_second']:,.0f}",
            f"{r['macs_per_cycle']:.2f}",
            f"{r['utilisation']:.2%}",
        )
    return table


if __name__ == "__main__":
    typer.run(main)
