"""The steps of the command line, for Python: each reads files and writes files.

Every step checks all that it is given before it works or writes; what it writes appears
whole or not at all.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boards.board import board as board_of
from boards.resources import choice
from compiler.array.design import Design
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format import Model, load_model
from csb_format.arguments import known
from csb_format.files.folders import held, locked, shared_folder
from csb_format.files.ownership import check_replaceable, check_shared
from csb_format.files.replace import replace_file
from csb_format.scales import DesignError
from engine.reference import IntegerModel
from hdl.prefix import check_prefix
from pruning.tasks.data.datasets import (
    Normaliser,
    SequenceData,
    load_japanese_vowels,
    save_sequences,
)
from pruning.tasks.scores.answers import check_answers

from ..pages import figures
from ..pages.hardware.screen import screen_rows
from ..pages.made.how_it_was_made import EXAMPLES, reporting
from ..pages.made.typed import as_argument, as_told, as_typed, typed
from ..pages.measured import FIGURES, Run, joined, read_figures
from ..pages.scores.told import told
from .generating.hardware import (
    LIVING,
    SUFFIXES,
    check_array,
    check_head,
    compile_array,
    emit,
    emitted,
)
from .generating.hardware import SIMULATED as HARDWARE
from .generating.tops import emit_top
from .options import PLAIN, DemoOptions, SimulateOptions, VerilogOptions
from .places import check_features, has_labels, known_to, read_scaled
from .progress import say
from .runs.activity import FOLDER, forget, recorded
from .runs.beside import beside, counts, verified
from .runs.parts import Parts
from .runs.scored import float_scores, whole_answers
from .runs.share import share_of

__all__ = [
    "VerificationError",
    "demo",
    "japanese_vowels",
    "pack",
    "pack_matrices",
    "prune_checkpoint",
    "report",
    "simulate",
    "verilog",
]


# what steps write in a folder that others may write in too
SPEECH = ("train.npz", "test.npz")
NETWORKS = ("dense.safetensors", "pruned.safetensors", "model.safetensors")
SIMULATED = (*HARDWARE, FIGURES, FOLDER)
REPORTED = ("report.json", "report.html")
LOCK = ".lock"  # one demo at a time: its steps read what the ones before have written
DEMO = (LOCK, *SPEECH, *NETWORKS, *SIMULATED, *REPORTED)


class VerificationError(RuntimeError):
    """The hardware does not do what the model says."""

    exit_status = 1  # of the command line: 2 is for errors of use and input


if TYPE_CHECKING:  # each step asks for the packages that it needs as it runs
    from boards.build.tops.tops import Top
    from hdl.verilog import VerilogFiles
    from pruning.tasks.recipes.recipe import Recipe

    from .preparing import pack, pack_matrices, prune_checkpoint
else:

    def __getattr__(name: str) -> Any:
        """Steps that train, imported when they are asked for: the others need no PyTorch."""
        if name not in ("pack", "pack_matrices", "prune_checkpoint"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from . import preparing

        return getattr(preparing, name)


def japanese_vowels(out: Path) -> tuple[SequenceData, SequenceData]:
    """Write ``train.npz`` and ``test.npz``: nine speakers to be told apart by one vowel.

    Parameters
    ----------
    out : Path
        Folder, made if absent.

    Returns
    -------
    train, test : SequenceData
        What was written: normalised by mean and deviation of the training set.
    """
    check_shared(out, SPEECH)
    train, test = (load_japanese_vowels(split) for split in ("train", "test"))
    normaliser = Normaliser.fit(train)
    train, test = normaliser.apply(train), normaliser.apply(test)
    with shared_folder(out, SPEECH):
        for name, part in zip(SPEECH, (train, test), strict=True):
            save_sequences(out / name, part)
    say(f"JapaneseVowels: {len(train)} utterances to train, {len(test)} to test, in {out}")
    return train, test


def verilog(
    model: Path,
    out: Path,
    pes: int = VerilogOptions.pes,
    lanes: int = VerilogOptions.lanes,
    images: str = VerilogOptions.images,
    prefix: str = VerilogOptions.prefix,
    *,
    top: Top | None = None,
    base: int | None = VerilogOptions.base,
    also: Sequence[Path] = (),
    head: bool = VerilogOptions.head,
    largest: int | None = VerilogOptions.largest,
    **array: int | bool,
) -> VerilogFiles:
    """Emit Verilog and memory images of an accelerator for a model.

    Parameters
    ----------
    model : Path
    out : Path
        Folder; replaced as a whole, and only where all in it is from an earlier run.
    pes, lanes : int
        M and N.
    images : {"mem", "coe", "mif", "ihex"}
        Another format than ``.mem`` is written beside it.
    prefix : str
        What all names begin with; see :mod:`hdl.prefix`.
    top : Top, optional
        By default the bare core.
    base : int, optional
        Of a top with a port to memory: where the model will lie.
    also : sequence of Path
        More models, which lie behind it; they run on its array.
    head : bool
        Whether the linear output layer runs on the array too.
    largest : int, optional
        Of a model with a screened head: logits that the unit behind the array finds; 0 for none.
    **array
        As :func:`.hardware.compile_array` takes them.
    """
    check_prefix(prefix)
    if images not in SUFFIXES:
        raise ValueError(f"images {images!r}: choose one of {', '.join(SUFFIXES)}")
    check_replaceable(out, "verilog")
    image = compile_array(load_model(model), pes, lanes, head=head, largest=largest, **array)
    if top is None or top.kind == "core":
        files = emit(image, out, images, prefix)
    else:
        if images != VerilogOptions.images:
            raise ValueError(f"images {images!r}: the bare core alone has them in other formats")
        others = [_beside(path, image.design, head) for path in also]
        files = emit_top(image, out, top, prefix, base, others)
    say(f"wrote {len(files.sources)} Verilog files and {len(files.images)} images to {out}")
    return files


def simulate(
    model: Path,
    data: Path,
    build: Path,
    simulator: str = SimulateOptions.simulator,
    pes: int = SimulateOptions.pes,
    lanes: int = SimulateOptions.lanes,
    utterances: int | None = None,
    dense: Path | None = None,
    pruned: Path | None = None,
    seconds: Mapping[str, float] | None = None,
    icarus: int | None = SimulateOptions.icarus,
    cocotb: int = SimulateOptions.cocotb,
    seed: int = SimulateOptions.seed,
    board: str | Path | None = SimulateOptions.board,
    contexts: int = SimulateOptions.contexts,
    largest: int | None = SimulateOptions.largest,
    activity: str | None = SimulateOptions.activity,
    batched: bool = SimulateOptions.batched,
    head: bool = SimulateOptions.head,
    dense_head: bool = SimulateOptions.dense_head,
    planes: int = SimulateOptions.planes,
    **flags: bool,
) -> dict[str, Any]:
    """Run the Verilog on sequences, compare everything, keep the figures in ``build``.

    Scores are of all the data, on the float networks and the integer model; that of the
    Verilog is of what is simulated.

    Parameters
    ----------
    model, data : Path
        Without labels in the data, or a head in the model, all states are compared and nothing
        is scored.
    build : Path
        Folder for Verilog, simulator and ``figures.json``. A second simulator run on the
        same model, data and array adds itself to the figures.
    simulator : {"verilator-free", "verilator", "icarus"}
        Who runs all of it; see :mod:`sim.check.engines`.
    pes, lanes : int
    utterances : int, optional
        Simulate only so many, spread over classes and lengths; see :mod:`.runs.share`.
    dense, pruned : Path, optional
        Float checkpoints, whose accuracy on the same data is reported too; both or none.
    seconds : mapping, optional
        Wall time of earlier steps, for the figures.
    icarus, cocotb : int, optional
        First of the simulated sequences that cocotb runs beside ``verilator-free``, on Icarus and
        on Verilator: they must give the same payloads in the same cycles. By default Icarus runs a
        few where that takes seconds.
    seed : int
        Of the choice of ``utterances``.
    board : str or Path, optional
        That the report tells the microseconds of; by default the fastest that fits.
    contexts : int
        Sequences that run at a time, a frame of each in turn.
    largest : int, optional
        Of a model with a screened head: logits that the unit behind the array finds; 0 leaves the
        head to the host.
    activity : {"saif", "vcd"}, optional
        Run all once more and count changes of signals; see :mod:`.runs.activity`.
    batched : bool
        The matrices come from memory, and a word of them serves frames of all ``contexts``.
    head, dense_head : bool
        Whether all linear output layers run on the array too, and without indices.
    planes : int
        Bits of the bus over which planes of a screened head come from a memory outside, which
        answers as late as :class:`~compiler.array.screen.bus.ScreenBus` says; 0: they lie on chip.
    **flags : bool
        Of :data:`.options.simulating.PLAIN`, as ``verilog`` has them.

    Returns
    -------
    dict
        The figures, keys as :data:`sparseflow.pages.report.SCHEMA`.

    Raises
    ------
    VerificationError
        If a state or a cycle differs, or two engines do; the message names the first. The
        figures are written all the same.
    """
    from sim.check.engines import FREE, require_engine

    parts = Parts("read", seconds)

    if utterances is not None and utterances < 1:
        raise ValueError(f"utterances {utterances}: must be at least 1, or left out for all")
    require_engine(simulator)
    check_shared(build, SIMULATED)
    packed = load_model(model)
    whole, _ = read_scaled(data, other=known_to(packed), what=model)
    share = share_of(whole, utterances, seed)
    _check_data(packed, share.data, data)
    known("simulate", flags, PLAIN)
    if batched:
        flags |= {"streamed": True, "batched": True}
    layers = check_head(packed, head=head, dense=dense_head, batched=batched)
    image = compile_array(
        packed, pes, lanes, contexts=contexts, largest=largest, **layers, **flags, planes=planes
    )
    if board is not None:  # an unknown one ends here, before the work
        choice(packed, board_of(board), pes, lanes, contexts, largest, **layers)
    labelled = has_labels(data)
    if labelled and packed.head is not None:
        check_answers(whole, packed.head.output_size, packed.pool, model)
    floats = float_scores(dense, pruned, whole, data if labelled else None, packed)
    frames = IntegerModel(packed).quantise(share.data.sequences)
    asked = counts(image, frames, icarus, cocotb) if simulator == FREE else {}
    for engine in asked:
        require_engine(engine)
    answers = whole_answers(parts, packed, whole, share) if labelled else None
    say(f"simulated: {share}")
    parts.begin("emit")
    with (
        shared_folder(build, SIMULATED, living=LIVING),
        emitted(image, build, emit) as (files, _),
    ):
        run = Run(
            model, data, packed, share.data, labelled, image, files, frames,
            verified(parts, simulator, image, files, frames, build), utterances,
            share.noted(whole), None if answers is None else (answers, whole), floats, asked, {},
            command=typed(), board=board,
        )  # fmt: skip
        runs = [run, *beside(parts, run, asked, build)]
        forget(build)
        if activity:
            recorded(parts, activity, image, files, frames, build)
        parts.begin("figures")
        with held(build):  # another run may add its figures
            each = [one.collect() for one in reversed(runs)]
            found = joined(_earlier(build), each[0])
            for one in each[1:]:
                found = joined(found, one)
            found["seconds"] = found["seconds"] | parts.seconds()
            _write(build, found)
    for run in runs:
        _verdict(run)
    say(f"cycles per step: {figures.cycles_in_words(found)}")
    for line in (*told(each[-1]), *(f"{name}: {text}" for name, text in screen_rows(found))):
        say(line)
    return found


def _beside(path: Path, design: Design, head: bool) -> Image:
    """Another model for the same array.

    Raises
    ------
    DesignError
        With its file, where the array does not hold it.
    """
    try:
        return compile_model(load_model(path), design, head=head)
    except DesignError as error:
        raise DesignError(f"{path}: {error}") from None


def report(run_dir: Path, out: Path) -> None:
    """Write ``report.json`` and ``report.html`` of a run, and print the table."""
    from ..pages.report import print_table, write_report

    check_shared(out, REPORTED)
    found = read_figures(run_dir)
    if isinstance(lines := found.get("commands"), list):
        found["commands"] = [*lines, typed() or reporting()]
    with shared_folder(out, REPORTED):
        write_report(found, out)
    print_table(found)
    say(f"wrote {out / 'report.json'} and {out / 'report.html'}")


def demo(
    out: Path = DemoOptions.out,
    seed: int = DemoOptions.seed,
    pes: int = DemoOptions.pes,
    lanes: int = DemoOptions.lanes,
    icarus: int = DemoOptions.icarus,
    cocotb: int = DemoOptions.cocotb,
    contexts: int = DemoOptions.contexts,
) -> None:
    """Do everything on JapaneseVowels: train, prune, pack, emit, simulate, report.

    Parameters
    ----------
    out : Path
    seed : int
    pes, lanes : int
    icarus, cocotb : int
        First utterances that cocotb runs too, on Icarus and on Verilator; 0 is none.
    contexts : int
        Streams whose states the array keeps.

    Raises
    ------
    VerificationError
        If the hardware is wrong; figures and report are there all the same.
    """
    parts = Parts("start")
    from pruning.tasks.recipes.recipe import Recipe
    from sim.check.engines import require_engine

    recipe = Recipe()
    # All that could fail after a minute of training is looked at before it.
    for name, count in (("icarus", icarus), ("cocotb", cocotb)):
        if count < 0:
            raise ValueError(f"{name} {count}: give the utterances it runs, 0 for none")
    for simulator in (SimulateOptions.simulator, *(["icarus"] if icarus else [])):
        require_engine(simulator)
    check_array(pes, lanes, recipe.banks)
    options = {"pes": pes, "lanes": lanes, "icarus": icarus, "cocotb": cocotb}
    options |= {} if contexts == DemoOptions.contexts else {"contexts": contexts}
    whole = typed() or _whole_demo(out, seed, **options)
    with shared_folder(out, DEMO, living=LIVING), locked(out / LOCK, wait=False), as_typed(()):
        _demo(parts, out, seed, recipe, whole, **options)


def _demo(parts: Parts, out: Path, seed: int, recipe: Recipe, whole: str, **options: int) -> None:
    from pruning.tasks.networks.sequence import accuracy

    from .preparing import pack
    from .training import train_and_prune

    parts.begin("data")
    train, test = japanese_vowels(out)
    dense, pruned, packed = (out / name for name in NETWORKS)
    test_set = out / SPEECH[1]
    (out / FIGURES).unlink(missing_ok=True)
    parts.begin("train")
    train_and_prune(train, dense, pruned, recipe, seed, lambda model: accuracy(model, test))
    parts.begin("pack")
    pack(pruned, out / SPEECH[0], packed)
    try:
        common: dict[str, Any] = {"seconds": parts.seconds(), **options}
        simulate(packed, test_set, out, dense=dense, pruned=pruned, **common)
    finally:
        if (out / FIGURES).exists():
            _name_demo(out, whole)
            report(out, out)


def _whole_demo(out: Path, seed: int, **options: int) -> str:
    """The one command, where Python has asked for a demo."""
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return as_told(["demo", "--out", str(out), "--seed", str(seed), *words])


def _name_demo(out: Path, whole: str) -> None:
    """Put the one command before the single ones, whose files are the demo's: no examples."""
    found = read_figures(out)
    # An absolute path is of this machine and would tell a reader nothing.
    folder = out.name if out.is_absolute() or ".." in out.parts else str(out)
    found["commands"] = [
        whole,
        "# or in single steps, from the dense network that the demo has trained:",
        f"cd {shlex.quote(as_argument(folder))}",
        "sparseflow data japanese-vowels --out .",
        *(line for line in found["commands"] if line != EXAMPLES),
    ]
    _write(out, found)


def _check_data(model: Model, data: SequenceData, path: Path) -> None:
    check_features(model, data, path)
    if data.frames < 2:
        raise ValueError(f"{path}: 1 frame; a step lasts from frame to frame, give two at least")


def _earlier(build: Path) -> dict[str, Any] | None:
    """Figures of an earlier run, if there are any that can be read."""
    try:
        return read_figures(build)
    except (OSError, ValueError):
        return None


def _write(build: Path, found: Mapping[str, Any]) -> None:
    text = json.dumps(found, indent=2, sort_keys=True, allow_nan=False) + "\n"
    replace_file(build / FIGURES, text.encode())


def _verdict(run: Run) -> None:
    """Say that all is well, or raise."""
    result = run.result
    if result.first is not None:
        count = result.comparison.mismatches
        raise VerificationError(f"{count} states differ on {result.simulator}; {result.first}")
    if result.cycle_mismatch is not None:
        raise VerificationError(f"{result.simulator}: {result.cycle_mismatch}")
    if run.apart:
        raise VerificationError(f"two engines differ on the same Verilog: {run.apart}")
    also = f", the same as on {run.beside}" if run.beside else ""
    say(
        f"{result.simulator}: {result.frames} frames, {result.comparison.values} states equal, "
        f"every cycle as predicted{also}, {result.run.cycles_per_second:,.0f} cycles/s"
    )
