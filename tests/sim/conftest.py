"""Small accelerators on every simulator, built once, and hand-made output streams."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from compiler.abi.states import Outcome
from compiler.array.placement import Placement
from compiler.lower.image import Image
from engine.reference import Trace
from hdl.core.layouts import output_layout, states_layout
from hdl.verilog import VerilogFiles, emit_verilog
from sim.run import build_cache, processes
from sim.run.pysim import simulate_amaranth
from sim.run.scenario import Job
from sim.run.verilog import simulate_verilog

if TYPE_CHECKING:
    from tests.conftest import Case

QUICK = f"{processes.VERILATOR_MAKE} OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"


@dataclass
class Backend:
    """One simulator and its work folder."""

    name: str
    work: Path
    blank: VerilogFiles
    images: VerilogFiles
    start: Image
    build_seconds: list[float] = field(default_factory=list)
    builds: Path | None = None

    def run(self, job: Job, *, blank: bool = False) -> Outcome:
        """A job on hardware that starts with the image of ``case``, or with nothing."""
        if self.name == "amaranth":
            return simulate_amaranth(self.start, job, loaded=not blank)
        files = self.blank if blank else self.images
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(processes, "VERILATOR_MAKE", QUICK)
            run = simulate_verilog(
                files, job, self.work, simulator=self.name, timeout=300, builds=self.builds
            )
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
def own_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where simulators are kept that are built in this test, and by no other."""
    monkeypatch.setenv(build_cache.FOLDER, str(tmp_path / "kept"))
    return tmp_path / "kept" / build_cache.BUILDS


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
    backend = replace(make_backend("verilator"), work=work, build_seconds=[])
    backend.builds = shared / "builds"
    with locked(shared / "builds.lock"):
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
    assert isinstance(placement, Placement)
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
