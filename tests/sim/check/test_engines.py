"""The engine without Python in its loop: the same as cocotb, and it notices what is wrong."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hdl.verilog import VerilogFiles, emit_verilog
from sim.check.agree import disagreement, with_others
from sim.check.engines import (
    DRIVERS,
    ENGINE,
    ENGINES,
    FREE,
    require_engine,
    simulate,
)
from sim.check.verify import Verification, verify
from sim.run.errors import SimulationError
from sim.run.scenario import Job
from sim.run.verilated import LARGE, configuration
from tests.sim.conftest import locked

NETWORKS: list[Any] = [
    pytest.param(
        {"layers": 2, "directions": 2, "projection": 5, "reach": (16, 64, 8, 16)},
        {"contexts": 2},
        id="programs",
    ),
    pytest.param({"head": 5}, {"head": True, "deep": True}, id="head, deep"),
    *(
        pytest.param(network, options, marks=pytest.mark.slow, id=name)
        for name, network, options in (
            ("compact", {"layers": 2, "reach": (64, 16)}, {"compact": True}),
            ("stacked", {"layers": 3, "projection": 6, "reach": (8, 128, 16)}, {"contexts": 3}),
        )
    ),
]


@pytest.fixture(scope="session")
def builds(shared: Path) -> Path:
    """Simulators of this session that all its processes share."""
    return shared / "free-builds"


@pytest.fixture
def free(case: Any, files: VerilogFiles, work: Path, shared: Path, builds: Path) -> Verification:
    """The shared hardware on the free-running engine; its build is one for all."""
    with locked(shared / "free-builds.lock"):
        return verify(case.reference, case.image, files, case.sequences, work, builds=builds)


def test_it_is_what_runs_where_nobody_says_otherwise(free: Verification) -> None:
    assert (ENGINE, free.simulator) == (FREE, FREE)
    assert set(DRIVERS) == set(ENGINES)
    assert free.exact


def test_both_give_the_same_in_the_same_cycles(
    case: Any, free: Verification, files: VerilogFiles, work: Path
) -> None:
    given = (case.reference, case.image, files, case.sequences, work)
    icarus = verify(*given, simulator="icarus")
    assert icarus.exact
    assert icarus.run.outcome == free.run.outcome
    assert disagreement(free, icarus) == ""


def changed(run: Verification, **fields: Any) -> Verification:
    outcome = replace(run.run.outcome, **fields)
    return replace(run, simulator="icarus", run=replace(run.run, outcome=outcome))


def test_where_two_engines_part_is_told(free: Verification) -> None:
    outcome = free.run.outcome
    late = [*outcome.cycles[:-1], outcome.cycles[-1] + 1]
    last, payload = len(late) - 1, outcome.payloads[-1]
    assert disagreement(free, changed(free, cycles=late)) == (
        f"level 0, payload {last}: verilator-free gives 0x{payload:x} in cycle {late[-1] - 1}, "
        f"icarus gives 0x{payload:x} in cycle {late[-1]}"
    )
    short = {"payloads": outcome.payloads[:-1], "cycles": outcome.cycles[:-1]}
    assert disagreement(free, changed(free, **short)).endswith(", icarus gives nothing")
    total = f"verilator-free in cycle {outcome.total}, icarus in 1"
    assert disagreement(free, changed(free, total=1)) == f"level 0 ends on {total}"
    more = replace(free, before=(free,))
    assert disagreement(free, more) == "verilator-free has run 1 levels, verilator-free 2"


@pytest.mark.parametrize("late", [0, 1])
def test_engines_beside_must_give_the_same(free: Verification, late: int) -> None:
    """Another engine runs the first sequences, and this one runs them again."""
    ran: list[tuple[str, int]] = []

    def run(engine: str, count: int) -> Verification:
        ran.append((engine, count))
        cycles = [cycle + late * (engine == "icarus") for cycle in free.run.outcome.cycles]
        return replace(changed(free, cycles=cycles), simulator=engine)

    found = with_others(free, {"icarus": 1, "verilator": 99, "none": 0}, run)
    engines = ["icarus"] if late else ["icarus", "verilator"]
    assert (found.exact, [one.simulator for one in found.beside]) == (not late, engines)
    assert found.apart.startswith("level 0, payload 0: verilator-free gives" if late else "")
    assert bool(found.apart) == bool(late)
    assert ran == [("icarus", 1), (FREE, 1), ("verilator", free.sequences)][: 2 if late else 3]


def test_a_planted_fault_is_found_and_diagnosed(
    case: Any, free: Verification, files: VerilogFiles, work: Path, tmp_path: Path, builds: Path
) -> None:
    """One bit of one weight of the output gate's PE: it runs free, and Icarus looks inside."""
    faulty = replace(files, folder=tmp_path / "faulty")
    shutil.copytree(files.folder, faulty.folder)
    path = faulty.folder / "matrix_003.mem"
    words = path.read_text().split()
    width = len(words[0])
    words = [f"{int(word, 16) ^ 1 << 13:0{width}x}" for word in words]
    path.write_text("\n".join(words) + "\n")
    told: list[str] = []
    found = verify(
        case.reference, case.image, faulty, case.sequences, work, builds=builds, stage=told.append
    )
    assert told == ["models", "build", "run", "compare", "diagnose"]
    assert found.run.build_seconds == 0
    assert found.first is not None
    assert (found.first.gate, found.first.bank is not None) == ("o", True)
    assert found.first.where.startswith("pe3.product")


@pytest.mark.quick(1)
@pytest.mark.parametrize(("network", "options"), NETWORKS)
def test_networks_run_the_same_on_both(
    make_network: Any,
    tmp_path: Path,
    quick_builds: None,
    network: dict[str, Any],
    options: dict[str, Any],
) -> None:
    """To the bit against the model, to the cycle against the cycle model, and one another."""
    case = make_network(6, (4, 4), (3, 2, 1, 2), options=options, **network)
    files = emit_verilog(case.image.design, tmp_path / "v", case.image)
    given = (case.reference, case.image, files, case.sequences, tmp_path / "work")
    contexts = options.get("contexts", 1)
    runs = [verify(*given, simulator=name, contexts=contexts) for name in (FREE, "icarus")]
    assert [run.exact for run in runs] == [True, True]
    assert disagreement(*runs) == ""
    assert len(runs[0].runs) == len(case.image.parts)


def test_an_engine_that_is_not_there_is_named(files: VerilogFiles, tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match=r"'vcs': choose one of verilator-free, verilator"):
        require_engine("vcs")
    with pytest.raises(ValueError, match=r"only sim\.run\.verilog samples"):
        simulate(files, Job([], [], 0, probes=["pe0.word"]), tmp_path)


def test_repeated_blocks_are_not_inlined(files: VerilogFiles, tmp_path: Path) -> None:
    """Of a large array PEs have variables as ports too, so that they share their code."""
    small = configuration(files).splitlines()
    assert small == ["`verilator_config", *(f'no_inline -module "*_{name}"' for name in BLOCKS)]
    large = replace(files, folder=tmp_path / "large")
    shutil.copytree(files.folder, large.folder)
    with large.paths[0].open("a") as top:
        top.write("\n" * LARGE)
    ports = configuration(large).splitlines()[len(small) :]
    assert {line.split('"')[3] for line in ports} == {"group", "word", "write"}


BLOCKS = ("pe", "lane", "projector")
