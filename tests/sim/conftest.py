"""Small accelerators on every simulator, built once, and hand-made output streams."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csb_format import Design, DesignError, IntArray, Model
from hdl.compiler import Image, compile_model
from hdl.layouts import output_layout, states_layout
from hdl.placement import Placement
from hdl.verilog import VerilogFiles, emit_verilog
from sim import processes
from sim.compare import Comparison, compare
from sim.cycle_model import CycleModel, Schedule
from sim.integer_model import IntegerModel, Trace
from sim.pysim import simulate_amaranth
from sim.random_models import random_frames, random_model, random_network
from sim.scenario import Job, Outcome
from sim.stimulus import Stimulus
from sim.verilog import simulate_verilog


@dataclass(frozen=True)
class Case:
    """A model, the image that runs it, and sequences with the states they must give."""

    model: Model
    image: Image
    sequences: list[IntArray]

    @property
    def reference(self) -> IntegerModel:
        return IntegerModel(self.model)

    @property
    def levels(self) -> list[list[Trace]]:
        return self.reference.run_levels(self.sequences)

    @property
    def traces(self) -> list[Trace]:
        return self.levels[-1]

    @property
    def placement(self) -> Placement:
        """Of what leaves first."""
        return self.image.parts[0].emissions[0].placement

    @property
    def schedule(self) -> Schedule:
        """Of all sequences, one after the other."""
        first = [step == 0 for sequence in self.sequences for step in range(len(sequence))]
        return CycleModel(self.image).run(len(first), first)

    def compare(self, outcome: Outcome) -> Comparison:
        """Of a run of all sequences, one after the other."""
        return compare(Stimulus.of(self.image, self.sequences), outcome, self.levels)


QUICK = f"{processes.VERILATOR_MAKE} OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"
MakeCase = Callable[..., Case]


def build_case(
    seed: int,
    sizes: tuple[int, int, int, int, int],
    array: tuple[int, int],
    lengths: Sequence[int] = (2, 1, 2),
    *,
    units: int | None = None,
    output_depth: int | None = None,
    bits: tuple[int, int] = (16, 16),
) -> Case:
    """``sizes`` are X, H, banks, k_ih, k_hh; ``array`` is M, N; ``bits`` of values, activations."""
    rng = np.random.default_rng(seed)
    model = random_model(rng, *sizes, *bits)
    design = Design.for_model(model, *array, units)
    if output_depth is not None:
        design = replace(design, output_depth=output_depth)
    return Case(
        model, compile_model(model, design), random_frames(rng, model, [int(n) for n in lengths])
    )


@pytest.fixture(scope="session")
def make_case() -> MakeCase:
    """See :func:`build_case`."""
    return build_case


def build_network(
    seed: int,
    array: tuple[int, int],
    lengths: Sequence[int] = (2, 1, 2),
    *,
    options: dict[str, Any] | None = None,
    **network: Any,
) -> Case:
    """``options`` of the design, ``network`` for :func:`random_network`."""
    rng = np.random.default_rng(seed)
    sizes: dict[str, Any] = {"input_size": 10, "hidden_size": 9, "banks": 4, "k": (2, 2, 2)}
    model = random_network(rng, **(sizes | network))
    given = options or {}
    design = Design.for_model(model, *array, **given)
    image = compile_model(model, design, head=bool(given.get("head")))
    return Case(model, image, random_frames(rng, model, [int(n) for n in lengths]))


def draw_network(seed: int) -> Case:
    """A network and an array from a seed; drawn again until the array can carry it."""
    rng = np.random.default_rng([4, seed])
    while True:
        lanes = int(rng.choice([1, 2, 4, 8]))
        banks, x, h = lanes * int(rng.choice([1, 2])), *(int(n) for n in rng.integers(9, 24, 2))
        projection = int(rng.choice([0, 0, 9, 12]))
        directions = int(rng.choice([1, 1, 2]))
        head = directions == 1 and rng.random() < 0.3
        options = {"contexts": int(rng.choice([1, 1, 2, 3])), "fan_in": int(rng.choice([2, 4]))}
        network = {
            "input_size": x,
            "hidden_size": h,
            "banks": banks,
            "k": tuple(int(k) for k in rng.integers(0, 4, 3)),
            "layers": int(rng.integers(1, 4)),
            "directions": directions,
            "projection": projection,
            "value_bits": int(rng.choice([4, 8, 12, 16])),
            "act_bits": int(rng.choice([8, 16])),
            "head": 5 if head else None,
        }
        lengths = [int(rng.integers(1, 4)), *(int(n) for n in rng.integers(0, 3, 3))]
        array = (int(rng.choice([4, 8, 12, 16])), lanes)
        if banks > min(x, h, projection or h):
            continue
        if head:
            options["head"] = True
        try:
            return build_network(seed, array, lengths, options=options, **network)
        except DesignError:  # these vectors or lanes do not fit together
            continue


@pytest.fixture(scope="session")
def random_case() -> Callable[[int], Case]:
    """See :func:`draw_network`."""
    return draw_network


@pytest.fixture(scope="session")
def make_network() -> MakeCase:
    """See :func:`build_network`."""
    return build_network


# 4 x 4 multipliers; 9 units in 4 banks: one place of a bank stays empty
SIZES, ARRAY = (10, 9, 4, 2, 2), (4, 4)


@pytest.fixture(scope="session")
def case() -> Case:
    """What the shared hardware starts with."""
    return build_case(1, SIZES, ARRAY, (3, 1, 4))


@pytest.fixture(scope="session")
def other_case(case: Case) -> Case:
    """Another model for the same hardware."""
    other = build_case(2, SIZES, ARRAY, (2, 3))
    assert other.image.design == case.image.design
    return other


@dataclass
class Backend:
    """One simulator and its work folder."""

    name: str
    work: Path
    blank: VerilogFiles
    images: VerilogFiles
    start: Image
    build_seconds: list[float] = field(default_factory=list)

    def run(self, job: Job, *, blank: bool = False) -> Outcome:
        """A job on hardware that starts with the image of ``case``, or with nothing."""
        if self.name == "amaranth":
            return simulate_amaranth(self.start, job, loaded=not blank)
        files = self.blank if blank else self.images
        run = simulate_verilog(files, job, self.work, simulator=self.name, timeout=300)
        self.build_seconds.append(run.build_seconds)
        return run.outcome


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock between processes."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this test session that all its processes share."""
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    (folder / "builds").mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def files(case: Case, tmp_path_factory: pytest.TempPathFactory) -> VerilogFiles:
    """The shared hardware as Verilog with the image of ``case``."""
    return emit_verilog(case.image.design, tmp_path_factory.mktemp("v") / "images", case.image)


@pytest.fixture(scope="session")
def blank_files(case: Case, tmp_path_factory: pytest.TempPathFactory) -> VerilogFiles:
    """The shared hardware as Verilog, to be loaded at run time."""
    return emit_verilog(case.image.design, tmp_path_factory.mktemp("v") / "blank")


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work folder of this process; what it builds with Icarus is built once."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="session")
def make_backend(
    case: Case, files: VerilogFiles, blank_files: VerilogFiles, work: Path
) -> Callable[[str], Backend]:
    """A backend by name."""
    return lambda name: Backend(name, work, blank_files, files, case.image)


@pytest.fixture
def quick_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verilator's C++ without optimisation: jobs here are short."""
    monkeypatch.setattr(processes, "VERILATOR_MAKE", QUICK)


@pytest.fixture(scope="session")
def verilator(
    make_backend: Callable[[str], Backend],
    case: Case,
    shared: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Backend:
    """Verilator; its build takes long, so the first process that needs it builds for all."""
    work = tmp_path_factory.mktemp("verilator")
    (work / "build").symlink_to(shared / "builds")
    backend = replace(make_backend("verilator"), work=work, build_seconds=[])
    with pytest.MonkeyPatch.context() as patch, locked(shared / "builds.lock"):
        patch.setattr(processes, "VERILATOR_MAKE", QUICK)
        backend.run(Job.of(case.image, [case.sequences[0][:1]]))
    return backend


@pytest.fixture(params=["amaranth", "icarus", "verilator"])
def backend(request: pytest.FixtureRequest, make_backend: Callable[[str], Backend]) -> Backend:
    """Each simulator."""
    if request.param == "verilator":
        chosen: Backend = request.getfixturevalue("verilator")
        return chosen
    return make_backend(request.param)


Payloads = Callable[[Image, Sequence[Trace]], list[int]]


@pytest.fixture(scope="session")
def payloads() -> Payloads:
    """Beats on ``states`` that carry given states, through the layout of the hardware."""
    return encode_states


def encode_states(image: Image, traces: Sequence[Trace]) -> list[int]:
    """Lane e of beat n is place ``n * E + e`` of the processing order; padding is 0."""
    (emission,) = image.parts[0].emissions
    placement, lanes = emission.placement, image.design.units
    beats = []
    for trace in traces:
        for hidden, cell in zip(trace.hidden, trace.cell, strict=True):
            for beat in range(placement.beats):
                order = placement.order[beat * lanes : (beat + 1) * lanes]
                fields: dict[str, Any] = {
                    "hidden": [0 if u < 0 else int(hidden[u]) for u in order],
                    "cell": [0 if u < 0 else int(cell[u]) for u in order],
                }
                bits = states_layout(image.design).const(fields).as_value().value
                last = int(beat == placement.beats - 1)
                beat_fields = {"bits": bits, "last": last}
                beats.append(int(output_layout(image.design).const(beat_fields).as_value().value))
    return beats
