"""The tops under property sets of others and our own: proofs, in every cycle that can come.

What comes out of the array is left free, so they hold for arrays of any size and state.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring

from boards.build.tops.component import ports_of
from boards.build.tops.tops import Top
from compiler.array.needs import design_for
from csb_format.random_models import random_model
from hdl.dram.accelerator import DramAccelerator
from hdl.dram.reader import ReadBus
from hdl.verilog import VerilogFiles, emit_verilog
from sim.check.proof import ProofError
from sim.check.properties import OURS, Listener, Proved, prove_set

pytestmark = pytest.mark.slow

HOUR = 3600.0  # seconds of the clock, as ABC counts: minutes on an idle machine
BITS, BUS = 32, ReadBus(64, 14, 2, 4, 4)
MODEL = random_model(np.random.default_rng(1), 2, 2, 1, 1, 1, 4, 6)
ARRAY = ("sparseflow",)  # whose outputs are free
MEMORIES = (*ARRAY, "sparseflow_ram")
LITE = {"C_AXI_ADDR_WIDTH": 12, "C_AXI_DATA_WIDTH": 32}
FULL = {"C_AXI_ADDR_WIDTH": BUS.address_bits, "C_AXI_DATA_WIDTH": BUS.data_bits}
STREAM = {"C_S_AXI_DATA_WIDTH": BITS}
# sets by their bus: how many checks each has of the slave's or master's side, at least
SETS = {"faxil_slave": ("s_axi", "i_axi_", LITE, 20), "faxis_master": ("m_axis", "i_", STREAM, 10)}


def emitted(
    folder: Path, make: Callable[..., wiring.Component], module: str
) -> tuple[VerilogFiles, dict[str, tuple[str, int]]]:
    made: list[wiring.Component] = []

    def top(*given: Any) -> wiring.Component:
        made.append(make(*given))
        return made[-1]

    design = design_for(MODEL, 4, 1)
    return emit_verilog(design, folder / "v", top=top, name=module), ports_of(made[-1])


def proved(folder: Path, kind: str, *listeners: Listener, **more: Any) -> Proved:
    top = Top(kind, BITS, BUS)
    files, ports = emitted(folder, top.maker(), top.module)
    done = prove_set(files, ports, listeners, timeout=HOUR, **more)
    print(f"{kind} {listeners[0].module}: {done}")
    return done


@pytest.mark.foreign
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("kind", ["axi", "dram"])
def test_sets_of_others_hold(property_sets: Path, tmp_path: Path, kind: str, name: str) -> None:
    bus, prefix, parameters, checks = SETS[name]
    given = Listener(name, property_sets / f"{name}.v", bus, prefix, parameters)
    assert proved(tmp_path, kind, given, free=ARRAY).assertions >= checks


@pytest.mark.foreign
def test_the_public_set_for_masters_is_a_part_that_no_tool_reads(
    property_sets: Path, tmp_path: Path
) -> None:
    """It says so itself, and is sold in full: then this test fails, and that set is to be held."""
    given = Listener("faxi_master", property_sets / "faxi_master.v", "m_axi", parameters=FULL)
    assert "This subset is not intended to be functional" in given.path.read_text()
    with pytest.raises(ProofError, match="Yosys does not read it"):
        proved(tmp_path, "dram", given, free=MEMORIES)


def reads() -> Listener:
    return Listener("axi_read_master", OURS, "m_axi", parameters=FULL | {"C_AXI_ID_WIDTH": 1})


def test_our_set_for_read_masters_holds_whatever_the_memory_does(tmp_path: Path) -> None:
    assert proved(tmp_path, "dram", reads(), free=MEMORIES).assertions == 9


class Hasty(DramAccelerator):
    """A mutant: an address is offered only while data come, taken or not."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.m_axi_arvalid.eq(self._transfers.m_axi_arvalid & self.m_axi_rvalid)
        return m


class Wrapping(DramAccelerator):
    """A mutant: its bursts wrap."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.m_axi_arburst.eq(2)
        return m


@pytest.mark.parametrize("mutant", [Hasty, Wrapping])
def test_our_set_finds_mutants(tmp_path: Path, mutant: type[DramAccelerator]) -> None:
    def make(design: Any, image: Any, hierarchy: Any) -> wiring.Component:
        return mutant(design, image, hierarchy, in_bits=BITS, out_bits=BITS, bus=BUS)

    files, ports = emitted(tmp_path, make, "mutant")
    with pytest.raises(ProofError, match="assertions fail"):
        prove_set(files, ports, [reads()], free=MEMORIES)
