"""Simulation: the free-running engine against cocotb, the bare loop, and inlined blocks."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np

from compiler.abi.frames import Stimulus
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format import Model
from csb_format.files.folders import temporary_folder
from csb_format.random_models import demo_sized, random_frames, random_network
from hdl.verilog import VerilogFiles, emit_verilog
from sim.run import free_running, verilated
from sim.run.scenario import Job
from sim.run.verilog import VerilogRun, simulate_verilog

from .rows import Row

__all__ = ["rows"]

FRAMES, DEMO_S = 5687, 2.0  # of the demo's test set, and seconds that their run may take
STEPS, PTB_S = 1000, 180.0  # and seconds that build and run may take together
BARE = 0.85  # of the speed of the bare C++ loop
OUTLINED = 2.3  # times the speed that inlined PEs have, on 256 x 16
INLINED = (
    *("--cc", "--exe", "--build", "-j", "2", "-O3", "-Wno-fatal"),
    *("--x-assign", "fast", "--x-initial", "fast", "--no-timing"),
    *("--output-split", "20000", "--output-split-cfuncs", "500"),
    *("-MAKEFLAGS", "OPT_FAST=-O1"),
)  # as it was before blocks stayed functions of their own
TURNS = 3


@dataclass(frozen=True)
class _Case:
    """A job on an array, and where it is built."""

    files: VerilogFiles
    job: Job
    work: Path

    def free(self, folder: str = "free") -> VerilogRun:
        work = self.work / folder
        # builds of the user are of the tool as it is, not of what is compared here
        return free_running.simulate_free_running(
            self.files, self.job, work, builds=work / "builds"
        )

    def inlined(self) -> VerilogRun:
        """With all blocks in one module."""
        with (
            patch.object(verilated, "PROGRAM_FLAGS", INLINED),
            patch.object(verilated, "make_variables", lambda files: ()),
            patch.object(verilated, "options_of", lambda files: ()),
            patch.object(verilated, "configuration", lambda files: "`verilator_config"),
        ):
            return self.free("inlined")

    def threaded(self) -> VerilogRun:
        """By two threads, with what Verilator's library has for them."""
        with (
            patch.object(verilated, "PROGRAM_FLAGS", (*verilated.PROGRAM_FLAGS, "--threads", "2")),
            patch.object(verilated, "make_variables", lambda files: ()),
        ):
            return self.free("threaded")


def rows(smallest: bool, only: Sequence[str]) -> Iterator[Row]:
    """Measure those rows whose name has one of some texts.

    Parameters
    ----------
    smallest : bool
        A tiny array instead: it measures nothing.
    only : sequence of str
    """
    sizes = ((4, 4),) if smallest else ((16, 16), (64, 16), (256, 16))
    frames = 20 if smallest else 0
    cases: dict[str, Callable[[str, Path], Iterator[Row]]] = {
        "demo": partial(_demo, frames=frames or FRAMES),
        "bare loop": partial(_bare, size=sizes[0], frames=frames or 4000),
        **{
            f"PEs, {size[0]} x {size[1]}": partial(
                _outlined, size=size, frames=frames or 150_000 // size[0]
            )
            for size in sizes
        },
        **{
            f"threads, {size[0]} x {size[1]}": partial(
                _threaded, size=size, frames=frames or 150_000 // size[0]
            )
            for size in sizes
        },
        "PTB 2 x 1500": partial(_ptb, smallest=smallest),
    }
    for name, measure in cases.items():
        if any(text in name for text in only):
            with temporary_folder("bench") as folder:
                yield from measure(name, Path(folder))


def _cpu(work: Callable[[], object]) -> float:
    """CPU seconds of all processes that some work has started."""
    start = resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return now.ru_utime + now.ru_stime - start.ru_utime - start.ru_stime


def _case(model: Model, size: tuple[int, int], frames: int, work: Path) -> _Case:
    image = compile_model(model, design_for(model, *size))
    sequences = random_frames(np.random.default_rng(1), model, [frames])
    files = emit_verilog(image.design, work / "verilog", image)
    return _Case(files, Job.of(image, Stimulus.of(image, sequences)), work)


def _network() -> Model:
    return random_network(np.random.default_rng(0), 64, 256, 16, (1, 2, 1))


def _demo(name: str, work: Path, frames: int) -> Iterator[Row]:
    """The demo's frames: under cocotb, as it was, and free."""
    size = (4, 4) if frames < FRAMES else (16, 8)
    case = _case(demo_sized(), size, frames, work)
    built, old = (
        case.free(),
        simulate_verilog(case.files, case.job, work / "cocotb", builds=work / "cocotb" / "builds"),
    )
    run = min((case.free() for _ in range(TURNS)), key=lambda run: run.seconds)
    if run.outcome.payloads != old.outcome.payloads or run.outcome.cycles != old.outcome.cycles:
        raise SystemExit("cocotb and the free-running engine differ")
    size_text = f"{size[0]} x {size[1]}, {frames} frames"
    yield Row(f"{name}, {size_text}: run", old.seconds, run.seconds, DEMO_S)
    yield Row(f"{name}, {size_text}: build", old.build_seconds, built.build_seconds, None)


def _bare(name: str, work: Path, size: tuple[int, int], frames: int) -> Iterator[Row]:
    """As many cycles as the bare loop takes; ``before_s`` is the loop's time."""
    case, bare, free = _case(_network(), size, frames, work), list[float](), list[float]()
    for _ in range(2 * TURNS):
        run = case.free()
        cycles = run.outcome.total
        free.append(run.seconds)
        speed = free_running.bare_speed(case.files, case.job, cycles, work / "free")
        bare.append(cycles / speed)
    what = f"{name}, {size[0]} x {size[1]}, {cycles} cycles: the loop alone, a whole run"
    yield Row(what, min(bare), min(free), min(bare) / BARE)


def _outlined(name: str, work: Path, size: tuple[int, int], frames: int) -> Iterator[Row]:
    """PEs in one module, PEs as functions of their own."""
    case = _case(_network(), size, frames, work)
    builds = [_cpu(build) for build in (case.inlined, case.free)]
    runs = [(case.inlined(), case.free()) for _ in range(TURNS)]
    if any(a.outcome != b.outcome for a, b in runs):
        raise SystemExit("inlined and free PEs differ")
    before, after = (min(run.seconds for run in column) for column in zip(*runs, strict=True))
    limit = before / OUTLINED if size[0] >= 256 else None
    cycles = runs[0][0].outcome.total
    what = f"{name}: {cycles} cycles, inlined before"
    yield Row(what, before, after, limit, {"cycles_per_second": round(cycles / after)})
    yield Row(f"{name}: CPU seconds of the build", builds[0], builds[1], None)


def _threaded(name: str, work: Path, size: tuple[int, int], frames: int) -> Iterator[Row]:
    """One thread, and two, in turns."""
    case = _case(_network(), size, frames, work)
    runs = [(case.free(), case.threaded()) for _ in range(TURNS)]
    if any(a.outcome != b.outcome for a, b in runs):
        raise SystemExit("one thread and two differ")
    one, two = (min(run.seconds for run in column) for column in zip(*runs, strict=True))
    yield Row(f"{name}: {runs[0][0].outcome.total} cycles, one thread before two", one, two, None)


def _ptb(name: str, work: Path, smallest: bool) -> Iterator[Row]:
    """Build and run of a large language model's network."""
    if smallest:
        model, size, steps = random_network(np.random.default_rng(0), 8, 8, 4, (1, 1, 1)), (4, 4), 5
    else:  # 19 of 94 in a bank: 80 % are pruned
        model = random_network(np.random.default_rng(0), 1500, 1500, 16, (19, 19, 1), layers=2)
        size, steps = (64, 16), STEPS
    case = _case(model, size, steps, work)
    run = case.free()
    what = f"{name}, {size[0]} x {size[1]}, {steps} steps: build and run"
    seconds = {"build_s": round(run.build_seconds, 1), "run_s": round(run.seconds, 1)}
    yield Row(what, None, run.build_seconds + run.seconds, PTB_S, seconds)
