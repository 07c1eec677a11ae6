"""The scenario in a compiled Verilator model with no Python in its loop.

cocotb calls Python in every cycle and runs at tens of thousands of cycles a second; the same
streams driven from C++ run as fast as the model itself. Signals inside the design are not
visible here: use :mod:`sim.run.verilog` for probes and waveforms.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from compiler.abi.states import Outcome
from compiler.array.screen.design import PLANES_PORTS
from hdl.verilog import VerilogFiles

from .builds import build_name, built, workplace
from .errors import Hang, ToolFailed
from .processes import TIMEOUT, tail, watched
from .scenario import Job, Progress, Stage
from .verilated import PROGRAM, compile_program
from .verilog import VerilogRun, require_simulator

__all__ = [
    "FORMS",
    "Damage",
    "Flip",
    "bare_speed",
    "free_name",
    "inject",
    "record_activity",
    "restart_at",
    "simulate_free_running",
]

HUNG = 9  # exit status of the program after a hang

#: What a run can write of its signals: their changes counted, or each of them.
FORMS = ("saif", "vcd")
ACTIVITY = "activity"  # name of that file

SOURCE = "free_running.cpp"


def simulate_free_running(
    files: VerilogFiles,
    job: Job,
    work: Path,
    *,
    progress: Progress | None = None,
    timeout: float = TIMEOUT,
    builds: Path | None = None,
    stage: Stage | None = None,
) -> VerilogRun:
    """Build (once for the same Verilog and tools) and run a job on Verilator without cocotb.

    Parameters
    ----------
    files : VerilogFiles
        Of a :class:`~hdl.core.core.Core`.
    job : Job
        Without probes, and with a memory of planes that is late by one number of cycles. Pauses are
        those of :mod:`sim.run.streams`, so cycles are those of a cocotb run.
    work : Path
        Folder for builds and runs, as for :func:`sim.run.verilog.simulate_verilog`.
    progress : callable, optional
        Told the number of payloads taken, about four times a second.
    timeout : float
        Seconds after which the build or the simulation is killed.
    builds : Path, optional
        Where builds are kept, if not in ``work``.
    stage : callable, optional
        Told ``build`` and ``run`` as each begins.

    Returns
    -------
    VerilogRun

    Raises
    ------
    ValueError
        If the job asks for probes, or for a memory that is late at random.
    SimulationError
        If a tool is missing, the build fails, or the run fails, hangs or is killed.
    """
    if job.probes:
        raise ValueError(f"probe {job.probes[0]}: only sim.run.verilog samples signals inside")
    with _prepared(files, job, work, timeout, builds, stage, fed=True) as ready:
        ready.run([], timeout, progress)
        return _read(ready.folder, ready.words, ready.build_seconds)


def record_activity(
    files: VerilogFiles,
    job: Job,
    work: Path,
    into: Path,
    form: str = FORMS[0],
    *,
    progress: Progress | None = None,
    timeout: float = TIMEOUT,
    stage: Stage | None = None,
) -> VerilogRun:
    """Run a job as :func:`simulate_free_running`, and write what its signals do.

    From the end of loading to the last result; a cycle is 10 ns.

    Parameters
    ----------
    files, job, work, progress, timeout, stage
        As for that function.
    into : Path
        The file that is written.
    form : {"saif", "vcd"}
        IEEE 1801 switching activity, changes of each bit counted; or every change.
    """
    with _prepared(files, job, work, timeout, None, stage, form) as ready:
        ready.run([ACTIVITY], timeout, progress)
        shutil.copyfile(ready.folder / f"{ACTIVITY}.{form}", into)
        (ready.folder / f"{ACTIVITY}.{form}").unlink()
        return _read(ready.folder, ready.words, ready.build_seconds)


@dataclass(frozen=True)
class Flip:
    """One bit that is wrong on its way into the accelerator.

    Parameters
    ----------
    stream : {"load", "frames"}
    word : int
        Place among the 32-bit words of the whole stream; a frame payload takes whole words.
    bit : int
        0..31.
    also : int
        A word of ``load`` whose bit of this number is wrong as well, or -1: the check word of a
        packet, where the flip stands for one in a memory, which is behind that check.
    second : tuple of int, optional
        Word of ``load`` and bit that are wrong too, with their check word as above.
    """

    stream: str
    word: int
    bit: int
    also: int = -1
    second: tuple[int, int] | None = None

    def line(self) -> str:
        """Its stream, then words and bits: of the stream the first, the others of ``load``."""
        more = [self.second] if self.second else []
        if self.also >= 0:
            more += [(self.also, self.bit), *((self.also, bit) for _, bit in more)]
        places = [(self.word, self.bit), *more]
        pairs = (f"{word} {bit}" for word, bit in places)
        return f"{int(self.stream == 'frames')} {len(places)} {' '.join(pairs)}"


@dataclass(frozen=True)
class Damage:
    """What a flip did.

    Parameters
    ----------
    outcome : {"masked", "late", "mismatch", "stopped"}
        The same states in the same cycles; in others; other states; nothing moved any more.
    fault : bool
        Whether the output ``fault`` was high in any cycle.
    halted : bool
        Whether the program had halted at the end.
    restarts, recovers : bool
        Whether the good job after it gave the right states in the right cycles: at once, and
        as a driver recovers (reset, load, reset, start).
    """

    outcome: str
    fault: bool
    halted: bool
    restarts: bool
    recovers: bool


def inject(
    files: VerilogFiles,
    job: Job,
    flips: Sequence[Flip],
    work: Path,
    *,
    start: int = 1,
    idle: int = 0,
    timeout: float = TIMEOUT,
) -> tuple[list[Damage], Outcome]:
    """Run a job once for each flip, each time on a blank accelerator, in one process.

    Parameters
    ----------
    files : VerilogFiles
    job : Job
        The good one, which loads everything; its ``limit`` ends runs in which nothing moves.
    flips : sequence of Flip
    work : Path
    start : int
        Last words of the job's load that start its program.
    idle : int
        Cycles after the last state of a job with a flip, in which ``fault`` may still come.
    timeout : float

    Returns
    -------
    damage : list of Damage
        Of each flip.
    outcome : Outcome
        Of the good job.

    Raises
    ------
    SimulationError
        As :func:`simulate_free_running`.
    """
    with _prepared(files, job, work, timeout) as ready:
        (ready.folder / "faults.txt").write_text("".join(f"{flip.line()}\n" for flip in flips))
        ready.run(["faults", str(start), str(idle)], timeout)
        (ready.folder / "outcome.txt").write_text("0 0")
        found = [line.split() for line in (ready.folder / "faults.out").read_text().splitlines()]
        good = _read(ready.folder, ready.words, 0).outcome
    return [Damage(outcome, *(flag == "1" for flag in flags)) for outcome, *flags in found], good


def restart_at(
    files: VerilogFiles,
    job: Job,
    cycles: Iterable[int],
    work: Path,
    *,
    reload: bool = False,
    timeout: float = TIMEOUT,
) -> list[str]:
    """Start the program in a cycle of a job and run the job anew; once for each cycle.

    Parameters
    ----------
    files : VerilogFiles
        Without images.
    job : Job
        It loads everything; its last word on ``load`` starts the program.
    cycles : iterable of int
        Of the first start's job, from 1 on, counted from the end of loading.
    work : Path
    reload : bool
        Whether the job after it loads everything again; else its frames follow the start at once.
    timeout : float

    Returns
    -------
    list of {"right", "late", "wrong", "hung"}
        How the job after the start went, against one after a reset: ``late`` has the same states
        in other cycles.
    """
    with _prepared(files, job, work, timeout) as ready:
        (ready.folder / "restarts.txt").write_text("".join(f"{cycle}\n" for cycle in cycles))
        ready.run(["restarts", str(int(reload))], timeout)
        return (ready.folder / "restarts.out").read_text().split()


def bare_speed(
    files: VerilogFiles, job: Job, cycles: int, work: Path, *, timeout: float = TIMEOUT
) -> float:
    """Clock cycles a second of the compiled model alone: a frame on offer, states taken.

    Parameters
    ----------
    files : VerilogFiles
        With images, so that there is a program.
    job : Job
        Its first frame payload is what is on offer.
    cycles : int
    work : Path
    timeout : float
    """
    with _prepared(files, job, work, timeout) as ready:
        ready.run(["bare", str(cycles)], timeout)
        total, seconds = (ready.folder / "outcome.txt").read_text().split()
    return int(total) / float(seconds)


@dataclass(frozen=True)
class _Ready:
    """A built simulation, and the folder with its job."""

    program: Path
    folder: Path
    words: int
    build_seconds: float

    def run(self, mode: list[str], timeout: float, progress: Progress | None = None) -> None:
        command, log = [str(self.program), ".", *mode], self.folder / "simulation.log"
        note = self.folder / "progress"
        try:
            watched("simulation", command, log, timeout, folder=self.folder, note=note,
                    progress=progress)  # fmt: skip
        except ToolFailed as error:
            if error.status == HUNG:
                raise Hang(tail(log)) from None
            raise


@contextmanager
def _prepared(
    files: VerilogFiles,
    job: Job,
    work: Path,
    timeout: float,
    builds: Path | None = None,
    stage: Stage | None = None,
    form: str = "",
    fed: bool = False,
) -> Iterator[_Ready]:
    if (job.matrix or job.planes) and not fed:
        reads = "a streamed design" if job.matrix else "planes outside"
        raise ValueError(f"{reads}: only simulate_free_running and sim.run.verilog feed it")
    if job.planes and (job.planes.waits or job.planes.gaps or len({*job.planes.latency}) > 1):
        raise ValueError("planes that come late at random: only sim.run.verilog has such a memory")
    require_simulator("verilator")
    tell = stage or (lambda name: None)
    with workplace(work, free_name(files, form), builds) as places:
        for image in files.images:
            shutil.copy(files.folder / image, places.run / image)
        tell("build")
        seconds = built(
            places.build, lambda place: _build(files, places.build, place, timeout, form)
        )
        tell("run")
        words = tuple(_port_words(files, port) for port in ("frames", "states"))
        _write(files, job, places.run, words)
        yield _Ready(places.build / PROGRAM, places.run, words[1], seconds)


def free_name(files: VerilogFiles, form: str = "") -> str:
    """Folder of the simulation of some Verilog; see :func:`sim.run.builds.build_name`."""
    return build_name(files, "verilator", f"-free{f'-{form}' if form else ''}")


def _build(files: VerilogFiles, kept: Path, build: Path, timeout: float, form: str) -> None:
    """Compile in a folder what is to be kept in another, or in the same."""
    link: list[str] | None = None
    if form:  # the library has nothing that traces
        link = [f"--trace-{form}", "--trace-depth", "99", "-CFLAGS", f"-DACTIVITY_{form.upper()}"]
    source = resources.files(__package__).joinpath(SOURCE).read_text()
    ports = files.paths[0].read_text()
    has = {"MATRIX": "matrix__payload;", "PLANES": f"{PLANES_PORTS}_araddr;"}
    given = "".join(f"#define {name}\n" for name, port in has.items() if port in ports)
    compile_program(files, kept, build, timeout, (SOURCE, given + source), link)


def _port_words(files: VerilogFiles, port: str) -> int:
    """32-bit words of a payload of a stream."""
    text = files.paths[0].read_text()
    match = re.search(rf"(?:input|output) (?:\w+ )?\[(\d+):0\] {port}__payload;", text)
    if match is None:
        raise ValueError(f"{files.sources[0]} has no port {port}__payload: it is not a Core")
    return -(-(int(match[1]) + 1) // 32)


def _payloads(payloads: list[int], words: int) -> bytes:
    return b"".join(payload.to_bytes(4 * words, "little") for payload in payloads)


def _write(files: VerilogFiles, job: Job, run: Path, words: tuple[int, ...]) -> None:
    """Streams, memories and settings as the program reads them."""
    (run / "frames.bin").write_bytes(_payloads(job.frames, words[0]))
    (run / "load.bin").write_bytes(np.array(job.load, "<u4").tobytes())
    settings = (*words, job.beats_out, job.limit)
    pauses = (job.idle.share, job.idle.seed, job.stall.share, job.stall.seed)
    wide = _port_words(files, "matrix") if job.matrix else 0
    (run / "matrix.bin").write_bytes(_payloads(job.matrix, wide))
    outside = (0, 0, 0, 0)
    if job.planes:
        given = job.planes
        outside = (given.bits // 32, given.base, len(given.data), given.latency[0])
    data = job.planes.data if job.planes else b""
    (run / "planes.bin").write_bytes(data + bytes(-len(data) % 4))
    told = (*settings, *pauses, wide, *outside)
    (run / "job.txt").write_text(" ".join(map(str, told)))


def _read(run: Path, words: int, build_seconds: float) -> VerilogRun:
    """What the program wrote."""
    data, size = (run / "states.bin").read_bytes(), 4 * words
    payloads = [int.from_bytes(data[n : n + size], "little") for n in range(0, len(data), size)]
    cycles = np.fromfile(run / "cycles.bin", "<u8").tolist()
    total, seconds = (run / "outcome.txt").read_text().split()
    return VerilogRun(Outcome(payloads, cycles, int(total)), float(seconds), build_seconds)
