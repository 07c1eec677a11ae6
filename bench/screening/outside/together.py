"""LSTM and screened head in one Verilog, planes on the chip and outside: beside the models.

``python -m bench.screening.outside.together --ptb FILE [--work FOLDER] [--json FILE]`` takes the
network that the cycle model's rows of ``bench.screening`` are of (a checkpoint in FOLDER, or
trained there), prunes its LSTM at once, without training, and runs a few tokens, as the simulator
calls Python in every cycle. Every state, output, logit and cycle of a token
is held against integer model and cycle model.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

import sparseflow as sf
from compiler.abi.frames import Stimulus
from compiler.array.needs import design_for
from compiler.array.screen.bus import bus_of
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format import DenseLayer, Model
from csb_format.files.folders import temporary_folder
from csb_format.fixed import IntArray
from csb_format.random_models import random_model
from csb_format.screening.layer import ScreenedLayer
from engine.levels import run_levels
from engine.reference import IntegerModel
from hdl.verilog import emit_verilog
from pruning.tasks.data.corpora import Corpus
from pruning.tasks.networks.language import LanguageModel
from sim.check.compare import expected_states, states_screened
from sim.run.scenario import Job
from sim.run.verilog import simulate_verilog

from ...record import Smallest, check_named, with_others, write_record
from ..networks import first_words, of_ptb

__all__ = ["main"]

NETWORK, TOP = "ptb200", 5
ARRAYS, BUSES = ((16, 8), (64, 16)), (128, 512)
BANKS, SPARSITY = 16, 0.8
CALIBRATION = 200  # tokens
RESULTS = Path("bench/results/screening_together.json")
#: By name M, N, whether the matrices come from memory too, and bits of the bus, 0 without one.
CASES = {f"{pes} x {lanes}, planes on the chip": (pes, lanes, False, 0) for pes, lanes in ARRAYS}
CASES |= {
    f"{pes} x {lanes}, {bits} bits{', streamed' if streamed else ''}": (pes, lanes, streamed, bits)
    for streamed in (False, True)
    for pes, lanes in ARRAYS
    for bits in BUSES
}
MODULE = "bench.screening.outside.together"
COMMAND = f"python -m {MODULE} --ptb ptb.zip"


def main(
    ptb: Annotated[Path | None, typer.Option(help="Zip of the Penn Treebank.")] = None,
    work: Annotated[Path, typer.Option(help="Checkpoints.")] = Path("build/accuracy"),
    words: Annotated[int, typer.Option(help="First ones of the head.")] = 10_000,
    tokens: Annotated[int, typer.Option(help="First ones of the test text.")] = 5,
    case: Annotated[
        list[str] | None,
        typer.Option(help="Only these, others are kept; by default all that are not streamed."),
    ] = None,
    json: Annotated[Path, typer.Option(help="Results.")] = RESULTS,
    smallest: Smallest = False,
) -> None:
    """Measure, and write the results."""
    torch.set_num_threads(1)
    if smallest:
        about: dict[str, Any] = {"network": "random", "hash": "", "seed": 0}
        row = _row(*_random(), (4, 2, False, 128), "icarus")
        write_record(json, MODULE, 0, [about | row])
        return
    check_named(case, CASES)
    module, corpus, about = of_ptb(NETWORK, ptb, work)
    model, frames = _packed(module, corpus, words, tokens)
    for name in case or [name for name, (_, _, streamed, _) in CASES.items() if not streamed]:
        row = {"case": name} | _row(model, frames, CASES[name], "verilator")
        print(row, flush=True)
        rows = with_others(json, [about | {"sparsity": SPARSITY} | row], CASES)
        write_record(json, MODULE, about["seed"], rows, command=COMMAND)


def _random() -> tuple[Model, IntArray]:
    rng = np.random.default_rng(0)
    model = random_model(rng, 5, 8, 2, 1, 1, head=20)
    assert model.head is not None
    frames = rng.integers(-120, 120, (2, 5))
    return replace(model, head=ScreenedLayer.of(model.head)), frames


def _packed(
    module: LanguageModel, corpus: Corpus, words: int, tokens: int
) -> tuple[Model, IntArray]:
    """Its LSTM pruned at once, its head of the first words in planes; frames of a text."""
    table = module.embedding.weight.detach().double().numpy()
    text = table[corpus.train[:CALIBRATION]].astype(np.float32)
    pruner = sf.prune(module.lstm, banks=BANKS, sparsity=SPARSITY)
    model = sf.quantise(pruner, module.head, [text], pool="every").model
    head = model.head
    assert isinstance(head, DenseLayer)
    model = replace(model, head=first_words(head, words))
    return model, model.layers[0].input.quantise(table[corpus.test[:tokens]])


def _row(
    model: Model, frames: IntArray, case: tuple[int, int, bool, int], simulator: str
) -> dict[str, Any]:
    """What one array and bus gives."""
    pes, lanes, streamed, bits = case
    assert model.head is not None
    top = min(TOP, model.head.output_size)
    design = design_for(model, pes, lanes, largest=top, planes=bits, streamed=streamed)
    return {
        "pes": pes,
        "lanes": lanes,
        "streamed": streamed,
        "bus_bits": bits,
        "k": top,
        "words": model.head.output_size,
        "simulator": simulator,
        "tokens": len(frames),
        **_run(compile_model(model, design), frames, simulator),
    }


def _run(image: Image, frames: IntArray, simulator: str) -> dict[str, Any]:
    """One simulation, and how many tokens differ from the models in anything."""
    traces = run_levels(IntegerModel(image.model), [frames])
    stimulus = Stimulus.of(image, [frames])
    stimulus = stimulus.screening(states_screened(stimulus, traces))
    with temporary_folder("screen_together") as folder:
        files = emit_verilog(image.design, folder / "verilog", image)
        job = Job.of(image, stimulus)
        outcome = simulate_verilog(files, job, folder, simulator=simulator).outcome
    cycles = outcome.frame_cycles(image, 0)
    wrong = cycles != stimulus.schedule.frame_done
    for emitted in outcome.emitted(image, 0):
        for state, got in emitted.values.items():
            want = expected_states(stimulus, emitted.emission.layer, state, traces)
            wrong |= (got != want).any(axis=1)
    screen = image.design.screen
    assert screen is not None
    bus, read = bus_of(screen), [0]
    if bus is not None:  # bounds of blocks lie on the chip
        read = [bus.bytes(screen, n.first, n.second, n.exact) for n in stimulus.screened]
        read = [count - 4 * screen.blocks for count in read]
    return {
        "wrong": int(wrong.sum()),
        "verilog_cycles": float(np.diff(cycles).mean()),
        "model_cycles": float(np.diff(stimulus.schedule.frame_done).mean()),
        "bus_bytes": float(np.mean(read)),
    }


if __name__ == "__main__":
    typer.run(main)
