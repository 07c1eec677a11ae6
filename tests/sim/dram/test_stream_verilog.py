"""A streamed matrix as Verilog: the same groups in the same cycles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compiler.array.design import Design
from hdl.dram.matrix import MatrixImage, lay_out
from hdl.dram.reader import ReadBus
from sim.axi_memory import Lateness
from sim.dram.stream_bench import GroupTaker, run_stream
from sim.dram.stream_cycles import stream_cycles
from sim.dram.stream_verilog import (
    StreamJob,
    emit_streamed,
    read_stream_job,
    simulate_streamed,
    write_stream_job,
)
from sim.run.errors import Hang

DESIGN = Design(8, 4, 1, 4, 8, 16, 2, 8, 8, 3, 10, 8)
BUS = ReadBus(64, 32, 8, 4, 32)


def job() -> StreamJob:
    words = np.random.default_rng(3).integers(0, 1 << 52, (20, 8))
    image = lay_out(words.tolist(), DESIGN, 64)
    return StreamJob(BUS, image, 4096, Lateness((4, 30), 0.3, 0.2, 7), (15, 5), 9, 3)


def test_a_job_survives_its_file(tmp_path: Path) -> None:
    write_stream_job(tmp_path, job())
    assert read_stream_job(tmp_path) == job()


def test_pauses_of_passes() -> None:
    pauses = [job().pause_of(group) for group in range(40)]
    assert [n for n, pause in enumerate(pauses) if pause] == [0, 15, 20, 35]
    assert max(pauses) == 9


@pytest.mark.parametrize("simulator", ["icarus", pytest.param("verilator", marks=pytest.mark.slow)])
def test_verilog_gives_the_model_s_cycles(tmp_path: Path, simulator: str) -> None:
    files = emit_streamed(DESIGN, BUS, tmp_path / "verilog", 4)
    outcome = simulate_streamed(files, job(), tmp_path, simulator)
    done = job()
    model = stream_cycles(
        BUS, done.image, 3, rows=4, base=4096, lateness=done.lateness, pause=done.pause_of
    )
    assert (outcome.wrong, outcome.violations, outcome.errors) == ([], [], 0)
    assert outcome.taken == model.taken
    assert outcome.arrived[: len(model.arrived)] == model.arrived


class Dead:
    """A block that never answers."""

    def get(self, name: str) -> int:
        return 0

    def set(self, name: str, value: int) -> None:
        pass

    async def settle(self) -> None:
        pass

    async def tick(self) -> None:
        pass


def test_a_hanging_stream_is_an_error() -> None:
    done = job()
    waiting = run_stream(Dead(), done.memory, GroupTaker(done.image), 1, limit=50)
    with pytest.raises(Hang, match=r"0 groups of 20 after 50 cycles: the stream hangs"):
        waiting.send(None)


def test_a_wrong_group_is_noted() -> None:
    image = MatrixImage(bytes([1, 2, 3, 4, 5, 6, 7, 8]), 2, 32, 64)
    taker = GroupTaker(image)

    class Offers(Dead):
        def get(self, name: str) -> int:
            return 1 if name == "matrix__valid" else image.payload(0)

    for cycle in range(2):
        taker.step(Offers(), cycle)
    assert (taker.cycles, taker.wrong) == ([0, 1], [1])
