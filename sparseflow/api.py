"""The front door's part that needs no training framework; see :mod:`sparseflow`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from compiler.abi.frames import Stimulus
from compiler.abi.states import Emitted
from compiler.array.design import Array, Design
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format.arguments import known, place, whole
from csb_format.extras import needs
from csb_format.files.folders import shared_folder, temporary_folder
from csb_format.files.matrixfile import PackedMatrix, load_matrices, save_matrices
from csb_format.files.modelfile import ModelFileError, load_model, save_model
from csb_format.files.ownership import check_replaceable
from csb_format.fixed import IntArray
from csb_format.model import RUNNERS, Model
from csb_format.shape import ModelShape
from engine.reference import IntegerModel

from .steps.checks import design_of, matrices_of, model_of, shape_of
from .steps.generating.hardware import LIVING, SIMULATED, emitted
from .steps.given import check_verify, design_at, integers_for, target_at
from .steps.options import BuildOptions, SimulateOptions

if TYPE_CHECKING:  # these need extras, which only the functions that use them ask for
    from boards.host.driver import Accelerator
    from boards.host.states import States
    from boards.resources import Choice
    from engine.native.model import NativeModel
    from hdl.verilog import VerilogFiles
    from sim.check.verify import Verification
    from sim.run.streams import Pauses

__all__ = [
    "Simulation",
    "build",
    "compile",
    "emit",
    "estimate",
    "load",
    "open",
    "save",
    "score",
    "simulate",
    "verify",
]

Frames = Sequence[npt.NDArray[np.floating] | IntArray]


class ArrayOptions(TypedDict, total=False):
    """What :func:`compile` takes besides; defaults are those of ``design_for``."""

    units: int | None
    projectors: int | None
    largest: int | None
    screen_digits: int
    screen_lanes: int
    planes: int
    contexts: int
    fan_in: int
    streamed: bool
    deep: bool
    pieces: int
    compact: bool
    max_align: int
    by_gate: bool
    checked: bool
    walk: bool
    dense: bool
    parts: bool
    unguarded: bool
    block_banks: bool
    spread: int
    batched: bool
    shallow: bool
    all_pes: bool


class VerifyOptions(TypedDict, total=False):
    """What :func:`verify` takes besides; defaults are those of ``sim.check.verify.verify``."""

    load: bool
    idle: Pauses | None
    stall: Pauses | None
    contexts: int
    builds: Path | None


class OpenOptions(TypedDict, total=False):
    """What :func:`open` takes besides; defaults are those of ``Accelerator.open``."""

    work: Path | None
    timeout: float
    retries: int


def load(path: str | Path) -> Model | dict[str, PackedMatrix]:
    """Read a file of ours; nothing in it is executed.

    Parameters
    ----------
    path : path
        What :func:`save`, ``sparseflow pack`` or ``sparseflow pack --matrices`` wrote.

    Returns
    -------
    Model, or dict of str to PackedMatrix

    Raises
    ------
    ModelFileError
        If it is neither, damaged, or of a later format; the message names what is wrong.
    OSError
        If there is no such file, or it cannot be read.
    TypeError
        For what is no path.
    """
    path = place("path", path)
    try:
        return load_model(path)
    except ModelFileError as error:
        try:
            return load_matrices(path)
        except ValueError:
            raise error from None


def _on_cpu(model: Model, **options: Any) -> NativeModel:
    from engine.native.model import NativeModel

    return NativeModel(model, **options)


RUNNERS["cpu"] = _on_cpu


def save(what: Model | Mapping[str, PackedMatrix], path: str | Path) -> None:
    """Write a model or packed matrices to a file; the same contents give the same bytes.

    Parameters
    ----------
    what : Model, or mapping of str to PackedMatrix
        ``sf.quantise(...).model``, or what ``sf.pack`` returned.
    path : path
        Its folder must exist; a file there is replaced at once or not at all.

    Raises
    ------
    TypeError
        For anything else.
    OSError
        If the file cannot be written; what was there is there still.
    """
    path = place("path", path)
    if isinstance(what, Model):
        save_model(path, what)
        return
    save_matrices(path, matrices_of(what))


def compile(
    model: Model,
    pes: int = Array.pes,
    lanes: int = Array.lanes,
    *,
    head: bool = False,
    **options: Unpack[ArrayOptions],
) -> Image:
    """Compile a model for the smallest array of M x N multipliers that holds it.

    Parameters
    ----------
    model : Model
    pes : int
        M, rows worked on at once; a multiple of 4.
    lanes : int
        N, multipliers of a PE; divides the banks of every matrix.
    head : bool
        Run the linear output layer on the array too.
    **options
        ``units``, ``projectors``, ``contexts``, ``fan_in``, ``streamed``, ``deep``, ``pieces``,
        ``compact``, ``max_align``, ``by_gate``, ``checked``,
        ``walk``, ``dense``, ``parts``, ``unguarded``, ``block_banks``, ``spread``, ``batched``,
        ``shallow``; see :class:`compiler.array.design.design.Design`. With ``all_pes`` no PE that
        has room for a row is left idle, though lanes may then be slower. Of a screened head
        ``largest``, logits that the unit behind the array finds (0: none), ``screen_digits``,
        ``screen_lanes`` and ``planes``, bits of the bus over which its planes come from a memory
        outside (0: they lie on the chip); see :func:`compiler.array.screen.behind.screen_behind`.

    Returns
    -------
    Image
        ``design``, program and the contents of all memories.

    Raises
    ------
    DesignError
        If the array cannot carry the model; the message names the value and the mend.
    TypeError
        For what is no model, or an option that is not there.
    """
    model_of("sf.compile", model)
    return compile_model(model, design_for(model, pes, lanes, head=head, **options), head=head)


def emit(image: Image | Design, folder: str | Path) -> VerilogFiles:
    """Write the accelerator as Verilog, with memory images if there is a model.

    Parameters
    ----------
    image : Image or Design
        Of a design alone memories start at zero and are loaded through ``load``.
    folder : path
        Replaced as a whole, if all in it is from an earlier call.

    Returns
    -------
    VerilogFiles
        ``paths``, ``top`` and ``sha256`` of what was written.

    Raises
    ------
    PlaceError
        If the folder holds anything that is not ours.
    TypeError
        For what is neither image nor design.
    """
    design_of("sf.emit", image)
    folder = place("folder", folder)
    with needs("generate"):
        from hdl.verilog import KIND, emit_verilog

    check_replaceable(folder, KIND)
    if isinstance(image, Image):
        return emit_verilog(image.design, folder, image)
    return emit_verilog(image, folder)


def verify(
    image: Image,
    sequences: Frames,
    *,
    simulator: str = SimulateOptions.simulator,
    work: str | Path | None = None,
    icarus: int = 0,
    cocotb: int = SimulateOptions.cocotb,
    **options: Unpack[VerifyOptions],
) -> Verification:
    """Simulate the Verilog of an image and compare every state and every cycle with the models.

    Parameters
    ----------
    image : Image
    sequences : sequence of arrays (T, X)
        Each from a zero state; float frames are quantised to the model's input format, integers
        are taken as they are.
    simulator : {"verilator-free", "verilator", "icarus"}
        By default C++ around Verilator's model; cocotb drives the other two, far more slowly.
    work : path, optional
        Folder for Verilog and simulator, kept; by default a temporary one. Several runs may
        share it; what others have put there under ``verilog``, ``build`` or ``run`` is refused.
    icarus, cocotb : int
        First sequences that cocotb runs too, on Icarus and on Verilator, from 0: they must give
        the same payloads in the same cycles.
    **options
        ``load``, ``idle``, ``stall``, ``contexts``, ``builds``; see
        :func:`sim.check.verify.verify`.

    Returns
    -------
    Verification
        ``exact``, ``mismatches``, ``first`` (traced to gate, row, bank and cycle), ``steps``;
        ``beside`` of the engines beside, ``apart`` where one of them differs.

    Raises
    ------
    SimulationError
        If a simulator cannot be run; a hang, a time-out and a failed tool are kinds of it.
    """
    with needs("simulate"):
        from sim.check.agree import with_others
        from sim.check.engines import require_engine
        from sim.check.verify import verify as run

    given = integers_for("sf.verify", image, sequences)
    check_verify(image, options, VerifyOptions.__annotations__)
    asked = {"icarus": whole("icarus", icarus, 0), "verilator": whole("cocotb", cocotb, 0)}
    for engine in (engine for engine, count in asked.items() if count):
        require_engine(engine)
    model = IntegerModel(image.model)
    with _folder(work) as folder, emitted(image, folder) as (files, _):

        def on(engine: str, count: int) -> Verification:
            return run(model, image, files, given[:count], folder, simulator=engine, **options)

        return with_others(on(simulator, len(given)), asked, on)


def score(
    model: Model,
    sequences: Frames,
    *,
    labels: npt.ArrayLike | None = None,
    targets: npt.ArrayLike | None = None,
) -> dict[str, Any]:
    """What the integers, and so the hardware to the bit, are worth on data.

    Parameters
    ----------
    model : Model
        With a head.
    sequences : sequence of arrays (T, X)
        Real frames, as in training, or integers in the model's input format.
    labels : int array (sequences,) or (all frames,), optional
        Classes from 0; of frames -1 where one does not count. The head answers every frame if it
        was quantised with ``pool="every"``, else every sequence.
    targets : array (sequences, Y) or (all frames, Y), optional
        Numbers to be predicted, instead of labels.

    Returns
    -------
    dict
        ``accuracy`` (0..1), and of frames ``perplexity``; or ``mse``, ``mae``, ``r2``. The rest
        takes them apart: ``by_length``, ``by_class``, ``confusion``, ``by_output``, as
        docs/data.md has them.

    Raises
    ------
    TypeError
        For what is no model, no arrays of numbers, both labels and targets, or none.
    ValueError
        For labels beyond the classes, targets of another width, NaN or infinity, another number of
        either than sequences or frames, or a model without a head.
    """
    from .steps.runs.arrays import scored

    return scored(model_of("sf.score", model), sequences, labels, targets)


@dataclass(frozen=True)
class Simulation:
    """What the simulated hardware gave.

    Parameters
    ----------
    states : list of States
        Of every sequence what the last layer computed, as integers.
    cycles : list of int
        Cycle in which each frame left, of the last run.
    seconds : float
        That the simulator ran.
    """

    states: list[States]
    cycles: list[int]
    seconds: float


def simulate(
    image: Image,
    sequences: Frames,
    *,
    simulator: str = SimulateOptions.simulator,
    work: str | Path | None = None,
) -> Simulation:
    """Run the Verilog of an image and return what it computes, compared with nothing.

    Parameters
    ----------
    image, sequences, simulator, work
        As for :func:`verify`.

    Returns
    -------
    Simulation

    Raises
    ------
    WireError
        If what comes out cannot be read, or the simulator fails.
    """
    from boards.host.states import joined

    with needs("simulate"):
        from sim.check import engines
        from sim.run.scenario import Job

    inputs = integers_for("sf.simulate", image, sequences)
    seconds, states, cycles = 0.0, list[Any](), list[int]()
    with _folder(work) as folder, emitted(image, folder) as (files, _):
        for part in range(len(image.parts)):
            stimulus = Stimulus.of(image, inputs, part)
            run = engines.simulate(files, Job.of(image, stimulus), folder, simulator=simulator)
            frames = run.outcome.emitted(image, part)
            each = (stimulus.sequence == n for n in range(len(inputs)))
            states = [joined(_rows(frames, mine), image.model.directions) for mine in each]
            inputs = [found.output for found in states]
            cycles = run.outcome.frame_cycles(image, part).tolist()
            seconds += run.seconds
    return Simulation(states, cycles, seconds)


def estimate(
    model: Model | ModelShape, board: str | Path, *, largest: int | None = None
) -> list[Choice]:
    """Say before any synthesis which arrays fit a board, what limits them, and how fast they are.

    Parameters
    ----------
    model : Model or ModelShape
        A shape is enough: cells and cycles do not depend on weights.
    board : str or path
        See ``sparseflow boards``; or a file of your own, ``my_board.toml``.
    largest : int, optional
        Of a model with a screened head: logits that the unit behind the array finds, as for
        :func:`compile`. Its cycles depend on data; they are reckoned with the first digits of all
        rows.

    Returns
    -------
    list of Choice
        The fastest that fits first; ``design``, ``cycles``, ``microseconds``, ``usage``, ``fits``.

    Raises
    ------
    BoardError
        For a board that is not known.
    TypeError
        For what is no model.
    """
    from boards.board import board as named
    from boards.resources import choices

    shape_of("sf.estimate", model)

    return choices(model, named(board), largest=largest)


def build(
    model: Model,
    board: str | Path,
    out: str | Path,
    *,
    array: tuple[int, int] | None = None,
    clock_mhz: float | None = None,
    seed: int = BuildOptions.seed,
    seeds: int = BuildOptions.seeds,
    timeout: float = BuildOptions.timeout,
    keep: bool = BuildOptions.keep,
    largest: int | None = BuildOptions.largest,
) -> str:
    """Make a bitstream with open tools, or the project of a vendor's tool.

    Parameters
    ----------
    model : Model
    board : str or path
        See ``sparseflow boards``; or a file of your own, ``my_board.toml``.
    out : path
        Folder, replaced as a whole; all in it must come from an earlier build.
    array : (int, int), optional
        M and N; by default the fastest that fits.
    clock_mhz : float, optional
        Instead of the board's, at least 1.
    seed : int
        Of place and route, 0..2**31 - 1: the same seed gives the same bitstream.
    seeds : int
        How many from ``seed`` on are tried, 1..100; the fastest clock is kept.
    timeout : float
        Seconds given to each run of a tool, at least 1.
    keep : bool
        Keep all files of a build that fails or is ended in a folder beside ``out``, with
        ``.failed`` at its end; without it only logs, of one that fails.
    largest : int, optional
        Of a model with a screened head: logits that the unit behind the array finds, as for
        :func:`compile`.

    Returns
    -------
    str
        The summary, a page of Markdown that lies in the folder too.

    Raises
    ------
    PlaceError
        If the folder holds anything that no build has made.
    BoardError
        If the board holds no array for the model, or cannot make the clock.
    TypeError, ValueError
        For an argument of another kind, or out of range.
    BitstreamError
        If the design does not fit or misses its clock; or place and route come to nothing, also
        with another placer and another seed.
    """
    model_of("sf.build", model)
    out = place("out", out)
    with needs("bitstream"):
        from .steps.build import build as run

    return run(
        model, board, out, array, clock_mhz, seed, seeds=seeds, timeout=timeout, keep=keep,
        largest=largest,
    )  # fmt: skip


def open(
    target: str, design: Design | Image | str | Path, **options: Unpack[OpenOptions]
) -> Accelerator:
    """Connect to a board, to its simulation, or to the integer model behind the same link.

    Parameters
    ----------
    target : str
        ``model``, ``sim``, ``serial:PORT`` or ``pynq:FILE.bit``; a port is at the rate that the
        build's folder tells, ``serial:PORT?baud=RATE`` is for another.
    design : Design, Image or path
        That of the bitstream; a path is the folder of a build, or its ``design.json``.
    **options
        ``work``, ``timeout``, ``retries``; see :meth:`boards.host.driver.Accelerator.open`.

    Returns
    -------
    Accelerator
        A context manager: ``load`` a model, ``run`` frames.

    Raises
    ------
    ValueError
        For a target of another form, a file that is no design, or a number out of range.
    TypeError
        For an argument of another kind, or an option that is not there.
    OSError
        If a port or a file cannot be opened.
    """
    from boards.host.driver import Accelerator

    known("sf.open", options, OpenOptions.__annotations__)
    if options.get("work") is not None:
        options["work"] = place("work", options["work"])
    return Accelerator.open(target_at(target, design), design_at(design), **options)


def _rows(emitted: list[Emitted], mine: npt.NDArray[np.bool_]) -> list[Emitted]:
    """The frames of one sequence."""
    return [Emitted(e.emission, {k: v[mine] for k, v in e.values.items()}) for e in emitted]


@contextmanager
def _folder(work: str | Path | None) -> Iterator[Path]:
    """The folder given, or one that goes again."""
    if work is not None:
        with shared_folder(place("work", work), SIMULATED, living=LIVING) as folder:
            yield folder
        return
    with temporary_folder("simulation") as folder:
        yield folder
