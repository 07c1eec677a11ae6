"""What cocotb runs beside the free-running engine: first sequences, that both give the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.array.screen.latency import screened_cycles
from compiler.lower.image import Image
from compiler.timing.cycle_model import cycle_model
from csb_format import IntArray
from engine.reference import IntegerModel

from ...pages.measured import Run
from ..progress import say
from .parts import Parts, told

if TYPE_CHECKING:
    from hdl.verilog import VerilogFiles
    from sim.check.verify import Verification

__all__ = ["FEW", "beside", "counts", "verified"]

#: Sequences.
FEW = 3
# What Icarus does in some ten seconds, in cycles times multipliers
WORK = 4_000_000


def counts(
    image: Image, sequences: Sequence[Any], icarus: int | None, cocotb: int
) -> dict[str, int]:
    """Sequences, from the first on, that each engine runs under cocotb.

    Parameters
    ----------
    image : Image
    sequences : sequence of arrays (T, X)
    icarus : int or None
        By None the first :data:`FEW`, as far as Icarus does them in some seconds.
    cocotb : int
        On Verilator.

    Returns
    -------
    dict of str to int
        By engine; those that run something.
    """
    asked = {"icarus": _few(image, sequences) if icarus is None else icarus, "verilator": cocotb}
    return {engine: min(n, len(sequences)) for engine, n in asked.items() if n}


def _few(image: Image, sequences: Sequence[Any]) -> int:
    """The first sequences that Icarus does quickly."""
    step = sum(int(cycle_model(image, p).run(2).steps[-1]) for p in range(len(image.parts)))
    if image.design.screen:
        step = max(step, screened_cycles(image.design.screen))
    left, count = WORK / (step * image.design.pes * image.design.lanes), 0
    for sequence in sequences[:FEW]:
        left -= len(sequence)
        count += left >= 0
    if not count:
        say(
            "cocotb checks nothing beside: one sequence would take Icarus minutes; "
            "--icarus 1 runs it, --cocotb 1 on Verilator"
        )
    return count


def verified(
    parts: Parts,
    engine: str,
    image: Image,
    files: VerilogFiles,
    frames: list[IntArray],
    build: Path,
) -> Verification:
    """Run frames on an engine, with a bar and a clock for each part."""
    from sim.check.verify import verify

    with told(parts, engine, sum(map(len, frames)), image.parts[0].beats_out) as (stage, count):
        return verify(
            IntegerModel(image.model), image, files, frames, build, simulator=engine,
            contexts=image.design.contexts, progress=count, stage=stage,
        )  # fmt: skip


def beside(parts: Parts, run: Run, asked: Mapping[str, int], build: Path) -> Iterator[Run]:
    """First sequences of a run under cocotb; held against the run's engine on the same ones."""
    from sim.check.agree import disagreement
    from sim.check.verify import verify

    for engine, count in asked.items():
        if not run.result.exact:  # it is diagnosed already
            return
        given = (run.image, run.files, run.frames[:count], build)
        found = verified(parts, engine, *given)
        parts.begin("compare")
        again = verify(
            IntegerModel(run.model), *given, simulator=run.result.simulator,
            contexts=run.image.design.contexts,
        )  # fmt: skip
        yield replace(
            run,
            data=run.data.chosen(range(count)),
            frames=given[2],
            result=found,
            floats={},
            beside=run.result.simulator,
            apart=disagreement(again, found),
        )
