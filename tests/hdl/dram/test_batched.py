"""Streams that share a streamed matrix: every bit and every cycle as the models say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compiler.abi.frames import Stimulus
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format import IntArray, Model
from csb_format.random_models import random_frames, random_network
from csb_format.scales import DesignError
from engine.reference import IntegerModel
from hdl.dram.matrix import lay_out
from hdl.dram.reader import ReadBus
from hdl.dram.streamed_core import StreamedCore
from hdl.verilog import emit_verilog
from sim.axi_memory import AxiMemory, Lateness
from sim.check.compare import compare
from sim.check.verify import verify
from sim.run.pysim import BlockPorts, simulate_amaranth
from sim.run.scenario import Job, run_job
from sim.run.streams import Pauses

SMALL: dict[str, Any] = {"input_size": 6, "hidden_size": 8, "banks": 2, "k": (1, 2, 2)}


@dataclass(frozen=True)
class Case:
    """A network on an array of B streams, and sequences of which the short ones leave early."""

    seed: int
    streams: int
    lengths: tuple[int, ...]
    network: dict[str, Any]
    pes: int = 4
    units: int | None = None
    deep: bool = False

    def made(self) -> tuple[Model, Image, list[IntArray]]:
        rng = np.random.default_rng(self.seed)
        model = random_network(rng, **(SMALL | self.network))
        head = model.head is not None
        options: dict[str, Any] = {"contexts": self.streams, "streamed": True, "batched": True}
        options["deep"] = self.deep
        design = design_for(model, self.pes, 2, self.units, head=head, **options)
        image = compile_model(model, design, head=head)
        return model, image, random_frames(rng, model, list(self.lengths))


def check(case: Case, **pauses: Any) -> None:
    """All programs of a network; without pauses every cycle, too."""
    model, image, sequences = case.made()
    levels = IntegerModel(model).run_levels(sequences)
    for part in range(len(image.parts)):
        inputs = [trace.output for trace in levels[part - 1]] if part else sequences
        stimulus = Stimulus.of(image, inputs, part, contexts=case.streams)
        outcome = simulate_amaranth(image, replace(Job.of(image, stimulus, **pauses), limit=9_000))
        compared = compare(stimulus, outcome, levels)
        assert compared.values
        assert compared.first is None, str(compared.first)
        if not pauses:
            cycles = outcome.frame_cycles(image, part)
            assert cycles.tolist() == stimulus.schedule.frame_done.tolist()


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "case",
    [
        # lanes that take four beats a row; streams come and go; one is alone at the end
        Case(1, 3, (2, 1, 3, 1), {"projection": 4}, pes=16, units=1),
        Case(2, 2, (3, 3), {"layers": 2, "projection": 4}),
        Case(3, 4, (3, 3, 3, 3), {}),
        Case(4, 4, (1, 5, 2, 3, 3), {"hidden_size": 16, "k": (2, 3, 1)}, pes=8),
        Case(5, 2, (2, 3), {"directions": 2}),
        Case(6, 3, (2, 3, 2), {"directions": 2, "layers": 2, "projection": 4}),
        Case(7, 8, (2, 2, 1, 2, 2, 2, 2, 2), {"head": 10}),
        Case(8, 5, (2, 1, 2), {"head": 7, "projection": 4}),
        Case(9, 2, (2, 2), {"reach": (8, 16), "layers": 2}),
        Case(10, 2, (2, 2, 4), {"value_bits": 8, "act_bits": 8}, pes=32, units=8),
        # a sum that comes back after one cycle, two, three
        Case(11, 3, (4, 2, 3), {"projection": 4, "k": (3, 4, 3)}, deep=True),
        Case(12, 4, (3, 2, 1, 2), {"layers": 2, "head": 5}, pes=16, units=1, deep=True),
        Case(13, 2, (2, 3), {"hidden_size": 70, "k": (3, 4, 1)}, pes=16, deep=True),
    ],
    ids=lambda case: f"seed {case.seed}",
)
def test_states_and_cycles_are_those_of_the_models(case: Case) -> None:
    check(case)


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "pauses",
    [
        {"idle": Pauses(0.6, 3), "stall": Pauses(0.6, 4)},
        {"idle": Pauses(0.9, 1)},
        {"stall": Pauses(0.9, 2)},
    ],
    ids=["both", "frames come late", "states are taken late"],
)
def test_pauses_change_no_value(pauses: dict[str, Pauses]) -> None:
    check(Case(11, 2, (2, 1), {"projection": 4}), **pauses)


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("bus", "late"),
    [
        (ReadBus(512, 32, 4, 2, 16), Lateness((3, 9), seed=2)),
        (ReadBus(64, 32, 8, 4, 64), Lateness((5, 40), 0.2, 0.2, 1)),
        (ReadBus(128, 32, 1, 1, 2), Lateness((1, 30), 0.5, 0.0, 3)),
    ],
    ids=["wide", "slow", "one beat at a time"],
)
def test_words_come_late_and_jobs_follow_each_other(run: Any, bus: ReadBus, late: Lateness) -> None:
    """One of them is ended within a batch; the next drops the words that are left of that."""
    model, image, sequences = Case(12, 3, (2, 1, 2), {"projection": 4}).made()
    matrix = lay_out(image.part_words(), image.design, bus.data_bits)
    memory, block = AxiMemory(bus, matrix.data, 0, late), StreamedCore(image.design, bus, None, 4)
    levels, cycle = IntegerModel(model), iter(range(1 << 20))

    class Ports(BlockPorts):
        async def tick(self) -> None:
            memory.step(self, next(cycle))
            await super().tick()

    async def bench(context: Any) -> None:
        ports = Ports(block, context)
        for name, value in (("length", matrix.length), ("padding", matrix.padding), ("start", 1)):
            ports.set(name, value)
        await ports.tick()
        ports.set("start", 0)
        for given, share in ((sequences, 1.0), (sequences, 0.4), (sequences[1:], 1.0)):
            stimulus = Stimulus.of(image, given, contexts=3)
            job = replace(Job.of(image, stimulus, load=True), matrix=[])
            outcome = await run_job(replace(job, beats_out=int(share * job.beats_out)), ports)
            if share < 1:
                ports.set("frames__valid", 0)
                continue
            assert compare(stimulus, outcome, levels.run_levels(given)).first is None
            assert ports.get("misaligned") == ports.get("fault") == 0

    run(block, bench)


def test_what_is_not_there_yet_is_named() -> None:
    _, image, _ = Case(1, 2, (1,), {}).made()
    for changes, match in (
        ({"streamed": False}, "take streamed = True, or leave batched out"),
        ({"contexts": 1}, "contexts = 1: a batched design has 2 to 64 streams"),
        ({"by_gate": True}, "not with by_gate = True yet"),
        ({"cell": "gru", "pes": 4}, "not for a GRU yet"),
    ):
        with pytest.raises(DesignError, match=match):
            replace(image.design, **changes)


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_verilog(tmp_path: Path, simulator: str) -> None:
    model, image, sequences = Case(13, 4, (3, 1, 4, 2, 2), {"projection": 4}, pes=8).made()
    files = emit_verilog(image.design, tmp_path / "verilog", image)
    found = verify(
        IntegerModel(model), image, files, sequences, tmp_path, simulator=simulator, contexts=4
    )
    assert found.exact
    assert found.comparison.values
