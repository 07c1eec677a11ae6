"""The steps of the command line, for Python: each reads files and writes files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from csb_format import IntArray, Model, load_model, save_model
from csb_format.design import Design
from csb_format.images import write_image
from csb_format.replace import replace_file
from hdl.compiler import Image, compile_model
from hdl.verilog import VerilogFiles, emit_verilog
from pruning.datasets import SequenceData, load_japanese_vowels, load_sequences, save_sequences
from sim.cycle_model import CycleModel
from sim.integer_model import IntegerModel
from sim.verify import Verification, verify

from . import figures
from .progress import counted
from .report import print_table, write_report

__all__ = ["demo", "pack", "prune_checkpoint", "report", "simulate", "verilog"]

FIGURES = "figures.json"
SUFFIXES = {"mem": "mem", "coe": "coe", "mif": "mif", "ihex": "hex"}
_console = Console(stderr=True)


class VerificationError(RuntimeError):
    """The hardware does not do what the model says."""


def prune_checkpoint(
    checkpoint: Path,
    data: Path,
    out: Path,
    banks: int = 8,
    sparsity: float = 0.875,
    epochs: int = 70,
    seed: int = 0,
) -> None:
    """Prune both matrices of a classifier in increments, fine-tuning after each.

    Parameters
    ----------
    checkpoint : Path
        State dict of an ``nn.LSTM`` and an ``nn.Linear`` (see
        :func:`pruning.checkpoint.load_lstm`).
    data : Path
        ``.npz`` of labelled sequences (see :func:`pruning.datasets.load_sequences`).
    out : Path
        Pruned checkpoint, with its masks.
    banks, sparsity, epochs, seed
        As for :class:`pruning.recipe.Recipe`; epochs of all increments together.
    """
    from pruning.recipe import Recipe

    from .training import prune_classifier

    increments = 4
    share = epochs // (increments + 3)  # the last increment takes the rest: about half
    recipe = Recipe(
        banks=banks,
        sparsity=sparsity,
        increments=increments,
        step_epochs=share,
        final_epochs=epochs - share * (increments - 1),
    )
    outcome = prune_classifier(checkpoint, load_sequences(data), out, recipe, seed)
    for matrix in outcome.report:
        _say(f"{matrix.name}: {matrix.requested:.2%} asked, {matrix.achieved:.2%} achieved")
        if matrix.note:
            _say(f"  note: {matrix.note}")
    _say(f"wrote {out} (seed {seed})")


def pack(
    pruned: Path,
    calibration: Path,
    out: Path,
    banks: int | None = None,
    value_bits: int = 16,
    act_bits: int = 16,
) -> Model:
    """Quantise a pruned checkpoint, pack it in CSB, write the model file.

    Parameters
    ----------
    pruned : Path
    calibration : Path
        ``.npz`` of sequences; the largest magnitude sets the input format.
    out : Path
    banks : int, optional
        Where the checkpoint does not say.
    value_bits, act_bits : int
    """
    from .training import pack_checkpoint

    data = load_sequences(calibration)
    model, saturations = pack_checkpoint(pruned, data, banks, value_bits, act_bits)
    save_model(out, model)
    layer = model.layers[0]
    for name, share in figures.sparsity(layer).items():
        _say(f"{name}: {share:.2%} sparse, {figures.matrices(layer)[name].real_nonzeros} nonzeros")
    clipped = {name: count for name, count in saturations.items() if count}
    _say(f"saturated: {clipped or 'nothing'}; {figures.bits_per_nonzero(layer):.2f} bits a nonzero")
    _say(f"wrote {out}")
    return model


def verilog(
    model: Path, out: Path, pes: int = 16, lanes: int = 8, images: str = "mem"
) -> VerilogFiles:
    """Emit Verilog and memory images of an accelerator for a model.

    Parameters
    ----------
    model : Path
    out : Path
        Folder; replaced as a whole.
    pes, lanes : int
        M and N.
    images : {"mem", "coe", "mif", "ihex"}
        Another format than ``.mem`` is written beside it.
    """
    image = _compile(load_model(model), pes, lanes)
    files = emit_verilog(image.design, out, image)
    if images != "mem":
        for name, words in image.memories.items():
            write_image(out / f"{name}.{SUFFIXES[images]}", words, image.width(name))
    _say(f"wrote {len(files.sources)} Verilog files and {len(files.images)} images to {out}")
    return files


def simulate(
    model: Path,
    data: Path,
    build: Path,
    simulator: str = "verilator",
    pes: int = 16,
    lanes: int = 8,
    utterances: int | None = None,
    dense: Path | None = None,
    pruned: Path | None = None,
) -> dict[str, Any]:
    """Run the Verilog on sequences, compare everything, keep the figures in ``build``.

    Parameters
    ----------
    model, data : Path
    build : Path
        Folder for Verilog, simulator and ``figures.json``. A second simulator run on the
        same model and array adds itself to the figures.
    simulator : {"verilator", "icarus"}
    pes, lanes : int
    utterances : int, optional
        Only the first so many.
    dense, pruned : Path, optional
        Float checkpoints, whose accuracy on the same data is reported too.

    Returns
    -------
    dict
        The figures, keys as :data:`sparseflow.report.SCHEMA`.

    Raises
    ------
    VerificationError
        If a state or a cycle differs; the message names the first. The figures are
        written all the same.
    """
    packed, sequences = load_model(model), load_sequences(data)
    subset = _first(sequences, utterances)
    image = _compile(packed, pes, lanes)
    build.mkdir(parents=True, exist_ok=True)
    files = emit_verilog(image.design, build / "verilog", image)
    reference = IntegerModel(packed)
    frames = reference.quantise(subset.sequences)
    beats = image.placement.units_per_lane
    with counted(f"{simulator}, frames", subset.frames, beats) as progress:
        result = verify(
            reference, image, files, frames, build, simulator=simulator, progress=progress
        )
    found = _figures(packed, image, files, model, reference, subset, frames, result)
    if dense and pruned:
        from .training import float_accuracy

        found["accuracy"] |= {
            "dense": float_accuracy(dense, subset),
            "pruned": float_accuracy(pruned, subset),
        }
    found = _joined(build / FIGURES, found)
    replace_file(build / FIGURES, json.dumps(found, indent=2, sort_keys=True).encode())
    _verdict(result)
    return found


def report(run_dir: Path, out: Path) -> None:
    """Write ``report.json`` and ``report.html`` of a run, and print the table."""
    path = run_dir / FIGURES
    if not path.exists():
        raise FileNotFoundError(2, "no figures here; run `sparseflow simulate` first", str(path))
    found = json.loads(path.read_text())
    write_report(found, out)
    print_table(found)
    _say(f"wrote {out / 'report.json'} and {out / 'report.html'}")


def demo(
    out: Path = Path("build/demo"), seed: int = 0, pes: int = 16, lanes: int = 8, icarus: int = 10
) -> None:
    """Do everything on JapaneseVowels: train, prune, pack, emit, simulate, report.

    Parameters
    ----------
    out : Path
    seed : int
    pes, lanes : int
    icarus : int
        Utterances that the second simulator, Icarus, runs as well.
    """
    from pruning.datasets import Normaliser
    from pruning.recipe import Recipe
    from pruning.sequence import accuracy

    from .training import train_and_prune

    out.mkdir(parents=True, exist_ok=True)
    train, test = (load_japanese_vowels(split) for split in ("train", "test"))
    normaliser = Normaliser.fit(train)
    for name, part in (("train", train), ("test", test)):
        save_sequences(out / f"{name}.npz", normaliser.apply(part))
    normalised = normaliser.apply(test)
    _say(f"JapaneseVowels: {len(train)} utterances to train, {len(test)} to test; seed {seed}")
    dense, pruned, packed = (
        out / name for name in ("dense.safetensors", "pruned.safetensors", "model.safetensors")
    )
    train_and_prune(
        normaliser.apply(train), dense, pruned, Recipe(), seed, lambda m: accuracy(m, normalised)
    )
    pack(pruned, out / "train.npz", packed)
    test_set = out / "test.npz"
    size = {"pes": pes, "lanes": lanes}
    (out / FIGURES).unlink(missing_ok=True)
    simulate(packed, test_set, out, "icarus", utterances=icarus, **size)
    simulate(packed, test_set, out, "verilator", dense=dense, pruned=pruned, **size)
    report(out, out)


def _compile(model: Model, pes: int, lanes: int) -> Image:
    return compile_model(model, Design.for_model(model, pes, lanes))


def _first(data: SequenceData, count: int | None) -> SequenceData:
    if count is None or count >= len(data):
        return data
    return SequenceData(data.sequences[:count], data.labels[:count])


def _figures(
    model: Model,
    image: Image,
    files: VerilogFiles,
    path: Path,
    reference: IntegerModel,
    data: SequenceData,
    frames: list[IntArray],
    result: Verification,
) -> dict[str, Any]:
    """Everything that the report shows, of one run."""
    layer, design = model.layers[0], image.design
    said = {key: json.loads(value) for key, value in model.provenance.items()}
    floor = figures.floor(layer, design)
    cycles = _steady(result.steps)
    return {
        "accuracy": {"dense": None, "pruned": None}
        | _accuracy(reference, data, frames, result.comparison.hidden),
        "array": figures.array(design),
        "bits_per_nonzero": figures.bits_per_nonzero(layer),
        "bytes": figures.sizes(layer),
        "commands": [],
        "cycles_per_step": {
            "floor": floor,
            "model": _steady(CycleModel(image).run(max(2, result.frames)).steps),
            "rtl": cycles,
        },
        "formats": figures.formats(layer),
        "frames": result.frames,
        "hashes": {
            "model": hashlib.sha256(path.read_bytes()).hexdigest(),
            "verilog": files.sha256,
        },
        "increments": said.get("increments", []),
        "mismatches": result.comparison.mismatches,
        "multipliers": {
            "products": design.multipliers,
            "elementwise": design.elementwise_multipliers,
        },
        "row_picture": figures.row_picture(layer),
        "seed": said.get("seed"),
        "simulators": [_simulator(result)],
        "sparsity": figures.sparsity(layer),
        "sparsity_requested": said.get("sparsity_requested"),
        "utilisation": floor / cycles,
        "utterances": result.sequences,
        "versions": figures.versions(),
    }


def _simulator(result: Verification) -> dict[str, Any]:
    return {
        "name": result.simulator,
        "utterances": result.sequences,
        "frames": result.frames,
        "cycles": result.run.outcome.total,
        "seconds": result.run.seconds,
        "build_seconds": result.run.build_seconds,
        "cycles_per_second": result.run.cycles_per_second,
        "mismatches": result.comparison.mismatches,
        "cycles_exact": result.cycle_mismatch is None,
    }


def _steady(steps: IntArray) -> float:
    """Cycles of a step: of all when they are equal, else their mean; whole where it is whole."""
    mean = float(np.mean(steps)) if len(steps) else 0.0
    return int(mean) if mean.is_integer() else mean


def _accuracy(
    reference: IntegerModel, data: SequenceData, frames: list[IntArray], hidden: IntArray
) -> dict[str, float | None]:
    """Share of sequences classified rightly from model and Verilog states."""
    if reference.model.head is None:
        return {"fixed": None, "rtl": None}
    last = np.cumsum([len(sequence) for sequence in data.sequences]) - 1
    model = np.stack([trace.hidden[-1] for trace in reference.run(frames)])
    return {
        name: float(np.mean(reference.classify(states) == data.labels))
        for name, states in (("fixed", model), ("rtl", hidden[last]))
    }


def _joined(path: Path, new: dict[str, Any]) -> dict[str, Any]:
    """New figures, with the other simulators' rows of an earlier run on the same hardware."""
    if not path.exists():
        return new
    old = json.loads(path.read_text())
    if old["hashes"] != new["hashes"]:
        return new
    name = new["simulators"][0]["name"]
    others = [row for row in old["simulators"] if row["name"] != name]
    wider = new if new["frames"] >= old["frames"] else old
    return wider | {
        "simulators": [*new["simulators"], *others],
        "mismatches": sum(row["mismatches"] for row in [*new["simulators"], *others]),
    }


def _verdict(result: Verification) -> None:
    """Say that all is well, or raise."""
    if result.first is not None:
        count = result.comparison.mismatches
        raise VerificationError(f"{count} states differ on {result.simulator}; {result.first}")
    if result.cycle_mismatch is not None:
        raise VerificationError(f"{result.simulator}: {result.cycle_mismatch}")
    _say(
        f"{result.simulator}: {result.frames} frames, {result.comparison.values} states equal, "
        f"every cycle as predicted, {result.run.cycles_per_second:,.0f} cycles/s"
    )


def _say(text: str) -> None:
    _console.print(text, highlight=False)
