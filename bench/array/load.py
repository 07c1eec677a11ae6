"""How long weights take to load, against the bus that they come over.

``python -m bench.array.load [--case NAME ...] --json bench/results/load.json`` loads models through
the register of the AXI top, and from a memory of random latency through the port of the DRAM top,
on Verilator, each time with two frames after it that must be bit-exact. Cycles: from the write that
begins to the interrupt, or to the last answer. Floor: bytes read / (bus bytes a cycle). Weights are
what the matrix memories hold; beside them a model has biases and its program: words of 32 bits. Two
reads follow each other, of an entry and of the data: a load takes two latencies and its bytes at
least.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from compiler.abi.dma import PAGE, Entry, place
from compiler.abi.dma_registers import ENTRY_BYTES, Kind
from compiler.abi.frames import Stimulus, frame_packets
from compiler.abi.identity import AXI_MODULE
from compiler.abi.states import outcome_of
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.groups import rows_of
from compiler.lower.image import Image
from csb_format.files.folders import temporary_folder
from csb_format.model import Model
from csb_format.random_models import demo_sized, random_frames, random_network
from engine.levels import run_levels
from engine.reference import IntegerModel
from hdl.bus.accelerator import Accelerator
from hdl.dram.accelerator import DRAM_MODULE, DramAccelerator
from hdl.dram.reader import ReadBus
from hdl.verilog import emit_verilog
from sim.bus.axi import AxiOutcome, AxiScript, Memory, simulate_axi
from sim.check.compare import compare

from ..record import Rows, Smallest, check_named, with_others, write_record

SEED = 0
BASE = 1 << 30
LATENCY = (20, 120)
BITS = 64  # of both streams
LIMIT = 20_000_000  # cycles of a step
FRAMES = [2]


def _timit() -> Model:
    return random_network(np.random.default_rng(SEED), 153, 1024, 16, (1, 4, 8), projection=512)


def _language() -> Model:
    return random_network(np.random.default_rng(SEED), 1500, 1500, 16, (12, 12, 1), layers=2)


MODELS: dict[str, Callable[[], Model]] = {
    "demo, 12 -> 128": demo_sized,
    "TIMIT layer, 153 -> 1024, projection 512": _timit,
    "language, 2 x 1500": _language,
}


@dataclass(frozen=True)
class Case:
    """A model on an array behind a top; ``bus_bits`` of the port that it loads through.

    ``latency`` of the memory in cycles, from and to.
    """

    top: str
    model: str
    bus_bits: int
    pes: int = 8
    lanes: int = 8
    latency: tuple[int, int] = LATENCY

    @property
    def name(self) -> str:
        """Top, first word of the model, bus, and the latency if it is another."""
        words = [self.top, self.model.split()[0].strip(","), str(self.bus_bits)]
        return " ".join(words + ["at once"] * (self.latency != LATENCY))


DEMO, LAYER, LANGUAGE = MODELS
CASES = (
    Case("axi", DEMO, 32),
    *(Case("dram", DEMO, bits) for bits in (64, 128, 512)),
    Case("dram", DEMO, 512, latency=(1, 1)),
    *(Case("dram", LAYER, bits) for bits in (64, 128, 256, 512)),
    *(Case("dram", LANGUAGE, bits) for bits in (128, 512)),
)


def main(
    case: Annotated[list[str] | None, typer.Option(help="By name; may repeat.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    smallest: Smallest = False,
) -> None:
    """Simulate, print a table, write JSON; rows of other cases that it has stay."""
    there = {given.name: given for given in CASES}
    check_named(case, there)
    cases = [there[name] for name in case] if case else CASES
    rows = []
    for given in [Case("dram", DEMO, 512, 4, 4)] if smallest else cases:
        rows.append(_row(given))
        print(rows[-1], flush=True)
    Console(width=140).print(_table(rows))
    if json:
        kept = rows if smallest else with_others(json, rows, there)
        write_record(json, "bench.array.load", SEED, kept, latency=LATENCY)


def _row(case: Case) -> dict[str, Any]:
    model = MODELS[case.model]()
    image = compile_model(model, design_for(model, case.pes, case.lanes))
    whole, weights = (_by_register if case.top == "axi" else _from_memory)(case, image)
    return {
        "case": case.name,
        "top": case.top,
        "model": case.model,
        "M": case.pes,
        "N": case.lanes,
        "bus_bits": case.bus_bits,
        "latency": list(case.latency) if case.top == "dram" else None,
        **_against(case, *whole),
        **{f"weight_{name}": value for name, value in _against(case, *weights).items()},
    }


def _against(case: Case, read: int, cycles: int) -> dict[str, Any]:
    floor = math.ceil(8 * read / case.bus_bits)
    return {"bytes": read, "cycles": cycles, "floor": floor, "share": floor / cycles}


Part = tuple[int, int]  # bytes, cycles


def _by_register(case: Case, image: Image) -> tuple[Part, Part]:
    """All, and weights alone, through ``load``."""
    words, rest = image.load_words(), image.load_words(matrix=False)
    weights = words[: len(words) - len(rest)]  # they come first
    script = AxiScript(BITS, BITS, limit=LIMIT)
    script.write("frame", beats=image.parts[0].frame_beats)
    script.cycle().load(weights).cycle().load(rest).cycle()
    outcome = _run(image, script, lambda d, i, h: Accelerator(d, i, h), AXI_MODULE)
    begun, between, done = _marks(script, outcome)
    return (4 * len(words), done - begun), (4 * len(weights), between - begun)


def _from_memory(case: Case, image: Image) -> tuple[Part, Part]:
    """All, and weights alone, through the port to memory."""
    bus = ReadBus(case.bus_bits, burst_beats=min(64, PAGE * 8 // case.bus_bits))
    placed, rows = place([image], BASE, case.bus_bits), rows_of(image, case.bus_bits)
    script = AxiScript(BITS, BITS, limit=LIMIT)
    script.memory = Memory(placed.data, BASE, bus, case.latency)
    script.write("irq_enable", loaded=1).write("frame", beats=image.parts[0].frame_beats)
    alone = Entry(Kind.ROWS, BASE, rows.length, rows.padding)
    for entry in (alone, Entry(Kind.LIST, placed.lists[0][0])):
        words = entry.words()
        start = words.pop("dma_start")
        for name, word in words.items():
            script.write(name, word)
        script.cycle().write("dma_start", start).wait_irq().cycle().write("irq_status", loaded=1)
    outcome = _run(image, script, lambda d, i, h: DramAccelerator(d, i, h, bus=bus), DRAM_MODULE)
    marks = _marks(script, outcome)
    rest = 4 * len(image.load_words(matrix=False))
    rest += -rest % (case.bus_bits // 8)
    whole = rows.length + rest + ENTRY_BYTES
    return (whole, marks[3] - marks[2]), (rows.length, marks[1] - marks[0])


def _run(image: Image, script: AxiScript, top: Any, name: str) -> AxiOutcome:
    """Load as the script says, run frames, compare."""
    frames = random_frames(np.random.default_rng(SEED), image.model, FRAMES)
    stimulus = Stimulus.of(image, frames)
    script.wait("status", settling=0)
    for packet in frame_packets(stimulus, BITS):
        script.send(packet)
    script.receive(sum(FRAMES))
    with temporary_folder("bench") as folder:
        files = emit_verilog(image.design, Path(folder) / "v", top=top, name=name)
        outcome = simulate_axi(files, script, Path(folder), simulator="verilator", timeout=3600)
    levels = run_levels(IntegerModel(image.model), frames)
    found = compare(stimulus, outcome_of(image, outcome.packets, BITS), levels)
    if found.mismatches:
        raise SystemExit(f"error: {found.mismatches} states differ: {found.first}")
    return outcome


def _marks(script: AxiScript, outcome: AxiOutcome) -> list[int]:
    """Cycles that a script has noted."""
    results = zip(script.steps, outcome.results, strict=True)
    return [int(result) for step, result in results if step["kind"] == "cycle"]


def _table(rows: Rows) -> Table:
    table = Table(title=f"Loading a model, memory latency {LATENCY[0]} to {LATENCY[1]} cycles")
    names = ["top", "model", "array", "bus", "weights", "floor", "cycles", "of the bus"]
    names += ["all bytes", "floor", "cycles", "of the bus"]
    for name in names:
        table.add_column(name, justify="right")
    for r in rows:
        numbers = (f"{r[name]:,}" for name in ("bytes", "weight_bytes", "floor", "cycles"))
        array = f"{r['M']} x {r['N']}"
        table.add_row(
            r["top"], r["model"], array, str(r["bus_bits"]), *numbers, f"{r['share']:.1%}"
        )
    return table


if __name__ == "__main__":
    typer.run(main)
