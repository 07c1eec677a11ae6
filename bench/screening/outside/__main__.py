"""A screen unit with planes outside: its Verilog beside the cycle model, on a trained head.

``python -m bench.screening.outside --ptb FILE [--work FOLDER] [--json FILE]`` takes the network
that the cycle model's rows of ``bench.screening`` are of (a checkpoint in FOLDER, or trained
there). Of its head it takes the first words alone, as the simulator calls Python in every cycle.
Every logit, counter and cycle of a token is held against the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from compiler.array.screen.bus import ScreenBus
from compiler.lower.screen import screen_image
from compiler.timing.screen_cycles import ScreenCycles
from csb_format.files.folders import temporary_folder
from csb_format.fixed import IntArray
from csb_format.screening.adversaries import adversarial_head, adversarial_states
from csb_format.screening.layer import ScreenedLayer
from hdl.core.screen.unit import COUNTERS
from sim.dram.screen_verilog import ScreenJob, emit_screen, simulate_screen_verilog

from ...record import Rows, Smallest, write_record
from ..cycles import ARRAYS, BUSES, array_units, unit_for
from ..models import screened
from ..networks import first_words, of_ptb

__all__ = ["main"]

NETWORK, TOP = "ptb200", 5
RESULTS = Path("bench/results/screening_outside.json")
COMMAND = "python -m bench.screening.outside --ptb ptb.zip"


def main(
    ptb: Annotated[Path | None, typer.Option(help="Zip of the Penn Treebank.")] = None,
    work: Annotated[Path, typer.Option(help="Checkpoints.")] = Path("build/accuracy"),
    words: Annotated[int, typer.Option(help="First ones of the head.")] = 640,
    tokens: Annotated[int, typer.Option(help="First ones of the test text.")] = 40,
    json: Annotated[Path, typer.Option(help="Results.")] = RESULTS,
    smallest: Smallest = False,
) -> None:
    """Measure, and write the results."""
    torch.set_num_threads(1)
    if smallest:
        head, given = _random()
        about: dict[str, Any] = {"network": "random", "hash": "", "seed": 0}
        found = _verilog(head, given, ARRAYS[:1], (128,), "icarus")
        write_record(json, "bench.screening.outside", 0, [about | row for row in found])
        return
    module, corpus, about = of_ptb(NETWORK, ptb, work)
    made, rows = screened(module, corpus), Rows()
    buses = tuple(bits for bits in BUSES if bits)
    states = made.states(corpus.test[:tokens])
    for row in _verilog(first_words(made.head, words), states, ARRAYS, buses):
        rows.append(about | row)
        print(row, flush=True)
    write_record(json, "bench.screening.outside", about["seed"], rows, command=COMMAND)


def _random() -> tuple[ScreenedLayer, IntArray]:
    rng = np.random.default_rng(0)
    head = ScreenedLayer.of(adversarial_head(rng, outputs=20, inputs=8))
    return head, adversarial_states(rng, head, 2)


def _verilog(
    head: ScreenedLayer,
    states: IntArray,
    arrays: tuple[tuple[int, int], ...],
    buses: tuple[int, ...],
    simulator: str = "verilator",
) -> Iterator[dict[str, Any]]:
    """A row for each unit and bus, with how many tokens differ from the model in anything."""
    for pes, lanes in arrays:
        for bits in buses:
            bus = ScreenBus(bits)
            unit = unit_for(head, TOP, array_units(head.input_size, pes, lanes), bits)
            model = ScreenCycles(unit, head, bus).run(states)
            with temporary_folder("screen_outside") as folder:
                files = emit_screen(unit, bus, folder / "verilog")
                job = ScreenJob.of(screen_image(unit, head), bus, states)
                found = simulate_screen_verilog(files, job, folder, simulator)
            wrong = 0
            told = zip(model, found.pairs, found.counts, found.cycles, strict=True)
            for one, pairs, counts, when in told:
                right = pairs == list(zip(one.indices, one.logits, strict=True))
                right &= counts == {name: getattr(one, name) for name in COUNTERS}
                wrong += not (right and when == one.cycles)
            yield {
                "pes": pes,
                "lanes": lanes,
                "bus_bits": bits,
                "k": TOP,
                "words": len(head.weight),
                "simulator": simulator,
                "tokens": len(states),
                "wrong": wrong,
                "violations": len(found.violations),
                "verilog_cycles": float(np.mean(found.cycles)),
                "model_cycles": float(np.mean([one.cycles for one in model])),
                "bus_bytes": found.beats * bits / 8 / len(states),
            }


if __name__ == "__main__":
    typer.run(main)
