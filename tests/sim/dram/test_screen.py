"""A screen unit with planes outside: the same logits, in the cycles that the model says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from compiler.array.screen.bus import ScreenBus
from compiler.lower.screen import ScreenImage, screen_image
from compiler.timing.screen_cycles import ScreenCycles
from csb_format.fixed import IntArray
from csb_format.screening.adversaries import adversarial_head, adversarial_states
from csb_format.screening.layer import ScreenedLayer
from engine.screened import top
from sim.axi_memory import AxiMemory, Lateness
from sim.dram.screen_bench import ScreenRun, screen_memory, simulate_screen
from sim.dram.screen_verilog import ScreenJob, emit_screen, simulate_screen_verilog
from tests.screens import drawn_design

LATE = Lateness((1, 40), waits=0.3, gaps=0.3, seed=5)


@dataclass(frozen=True)
class Case:
    """A unit, its head, its bus, and states for it: ties, zeros and extremes."""

    image: ScreenImage
    bus: ScreenBus
    states: IntArray

    @classmethod
    def drawn(cls, seed: int, bits: int, states: int = 3, **sizes: int) -> Case:
        rng = np.random.default_rng([23, seed])
        layer = ScreenedLayer.of(adversarial_head(rng, **sizes))
        design = drawn_design(rng, layer)
        bus = ScreenBus(bits, int(rng.integers(1, 70)), int(rng.integers(1, 30)))
        return cls(screen_image(design, layer), bus, adversarial_states(rng, layer, states))

    def check(self, found: ScreenRun, *, cycles: bool) -> None:
        """Against the reference, the full layer; against the cycle model if the memory is."""
        layer, design = self.image.layer, self.image.design
        wanted = top(layer, self.states, design.top)
        pairs = zip(wanted.indices.tolist(), wanted.logits.tolist(), strict=True)
        assert found.pairs == [list(zip(*state, strict=True)) for state in pairs]
        assert (found.errors, found.violations) == (0, [])
        if not cycles:
            return
        model = ScreenCycles(design, layer, self.bus).run(self.states)
        assert found.cycles == [one.cycles for one in model]
        for counts, one in zip(found.counts, model, strict=True):
            assert counts == {name: getattr(one, name) for name in counts}
        rows = ((one.first, one.second, one.exact) for one in model)
        read = sum(self.bus.bytes(design, *row) - 4 * design.blocks for row in rows)
        assert found.beats * self.bus.bits // 8 == read

    def simulated(self, memory: AxiMemory, pauses: float = 0.0) -> ScreenRun:
        return simulate_screen(self.image, self.bus, memory, self.states, pauses)


WIDE = [(seed, bits) for seed in range(6) for bits in (64, 128, 256, 512)]


@pytest.mark.parametrize(
    ("seed", "bits"),
    [(2, 128), (11, 512), *(pytest.param(*c, marks=pytest.mark.slow) for c in WIDE)],
)
def test_unit_is_its_model(seed: int, bits: int) -> None:
    sizes = {"outputs": 19, "inputs": 7} if seed in (2, 11) else {}
    case = Case.drawn(seed, bits, 1 + (seed not in (2, 11)), **sizes)
    case.check(case.simulated(screen_memory(case.image, case.bus, 8192)), cycles=True)


@pytest.mark.parametrize(
    "seed", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in range(20, 32))]
)
def test_a_late_memory_changes_no_result(seed: int) -> None:
    """Addresses and beats wait at random, and so do both ends."""
    case = Case.drawn(seed, (64, 128, 256, 512)[seed % 4], 1, outputs=19, inputs=7)
    memory = screen_memory(case.image, case.bus, 4096, LATE)
    case.check(case.simulated(memory, pauses=0.3), cycles=False)


def test_what_the_memory_refuses_is_told() -> None:
    case = Case.drawn(2, 128, 1, outputs=4, inputs=3)
    memory = screen_memory(case.image, case.bus)
    memory.broken = lambda address: address == 0
    assert case.simulated(memory).errors == 1  # slave


@pytest.mark.slow
@pytest.mark.parametrize("bits", [128, 512])
@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_verilog_gives_the_model_s_cycles(tmp_path: Path, simulator: str, bits: int) -> None:
    case = Case.drawn(3, bits, outputs=40, inputs=21)
    files = emit_screen(case.image.design, case.bus, tmp_path / "verilog")
    job = ScreenJob.of(case.image, case.bus, case.states, base=8192)
    case.check(simulate_screen_verilog(files, job, tmp_path, simulator), cycles=True)
    late = ScreenJob.of(case.image, case.bus, case.states, lateness=LATE, pauses=0.3)
    case.check(simulate_screen_verilog(files, late, tmp_path, simulator), cycles=False)
