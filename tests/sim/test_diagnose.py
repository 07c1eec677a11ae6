"""Injected faults are found: the very gate, row, bank and cycle."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from csb_format.images import write_mem
from hdl.compiler import Image
from hdl.verilog import VerilogFiles, emit_verilog
from sim.compare import Mismatch, compare
from sim.cycle_model import CycleModel
from sim.diagnose import diagnose
from sim.scenario import Job
from sim.verify import Verification, verify
from sim.verilog import simulate_verilog


@dataclass(frozen=True)
class Fault:
    """A bit of one stored weight."""

    part: int  # 0: input, 1: recurrent matrix
    field: str
    pe: int
    slot: int
    group: int
    lane: int
    bit: int

    def inject(self, image: Image) -> Image:
        design, passes = image.design, image.program[1:3]
        name = f"matrix_{self.pe:03d}"
        words = list(image.memories[name])
        address = passes[self.part].matrix + self.slot * passes[self.part].groups + self.group
        offset = self.bit + (design.value_bits if self.field == "index" else 0)
        words[address] ^= 1 << (self.lane * design.entry_bits + offset)
        return replace(image, memories=image.memories | {name: words})


# 9 units on 4 PEs: one unit a slot; unit (slot mod 4) * 3 + slot div 4, gate = PE
FAULTS = {
    "input value": Fault(0, "value", pe=2, slot=2, group=1, lane=0, bit=14),
    "input index": Fault(0, "index", pe=0, slot=6, group=0, lane=3, bit=0),
    "recurrent value": Fault(1, "value", pe=3, slot=9, group=0, lane=1, bit=15),
    "recurrent index": Fault(1, "index", pe=1, slot=1, group=1, lane=2, bit=1),
}


@pytest.fixture
def broken(files: VerilogFiles, tmp_path: Path) -> Callable[[Image], VerilogFiles]:
    """The shared hardware with the memory contents of another image."""

    def write(image: Image) -> VerilogFiles:
        shutil.copytree(files.folder, tmp_path / "faulty")
        for name, words in image.memories.items():
            write_mem(tmp_path / "faulty" / f"{name}.mem", words, image.width(name))
        return replace(files, folder=tmp_path / "faulty")

    return write


def verified(case: Any, files: VerilogFiles, work: Path) -> Verification:
    return verify(case.reference, case.image, files, case.sequences, work, simulator="icarus")


PRODUCT = 4  # cycles from the issue of a group to its products: two of the memory, two in the PE


def product_cycle(image: Image, fault: Fault, step: int) -> int:
    """When the product of a fault is there, in a run of one sequence."""
    schedule = CycleModel(image).run(step + 1)
    start = (schedule.input_start, schedule.recurrent_start)[fault.part][step]
    interval = image.program[1 + fault.part].interval
    return int(start) + fault.slot * interval + fault.group + PRODUCT


@pytest.mark.parametrize("name", FAULTS)
def test_a_flipped_bit_of_a_weight_is_found(case: Any, broken: Any, work: Path, name: str) -> None:
    fault = FAULTS[name]
    shown = verified(case, broken(fault.inject(case.image)), work)
    found = shown.first
    assert found is not None
    row, gate = int(case.image.placement.rows[fault.slot, fault.pe]), "ifgo"[fault.pe]
    assert (found.gate, found.row, found.bank) == (gate, row, fault.lane)
    assert (found.sequence, found.unit) == (0, row % 9)
    assert found.step >= fault.part  # h is zero in the first step
    assert found.cycle == product_cycle(case.image, fault, found.step)
    assert found.where.startswith(f"pe{fault.pe}.product{fault.lane} is ")
    assert found.where.endswith("(PEs 0 to 3)")
    place = f"layer 0, sequence 0, step {found.step}: {found.state}[{found.unit}] is {found.got}"
    assert str(found).startswith(f"{place}, should be {found.expected}; gate {gate}, row {row}")
    assert f", bank {fault.lane}, cycle {found.cycle}: pe{fault.pe}.product" in str(found)
    assert not shown.exact
    assert shown.cycle_mismatch is None


def test_the_cycle_is_that_of_the_product(
    case: Any, files: VerilogFiles, broken: Any, work: Path
) -> None:
    """Measured: where sound and faulty hardware first differ."""
    fault = FAULTS["input value"]
    signal = f"pe{fault.pe}.product{fault.lane}"
    job = replace(Job.of(case.image, case.sequences[:1]), probes=[signal])
    good, bad = (
        simulate_verilog(hardware, job, work, simulator="icarus", probe=True).outcome
        for hardware in (files, broken(fault.inject(case.image)))
    )
    pairs = zip(good.probed[signal], bad.probed[signal], strict=True)
    differs = [cycle for cycle, (one, other) in enumerate(pairs) if one != other]
    assert differs[0] == product_cycle(case.image, fault, 0)


def test_a_flipped_bit_of_a_bias_points_to_the_element_wise_lane(
    case: Any, work: Path, tmp_path: Path
) -> None:
    words, place, gate = list(case.image.memories["bias_000"]), 5, 2
    words[place] ^= 1 << (gate * 18 + 16)
    image = replace(case.image, memories=case.image.memories | {"bias_000": words})
    found = verified(case, emit_verilog(image.design, tmp_path / "faulty", image), work).first
    assert found is not None
    assert (found.sequence, found.step) == (0, 0)
    assert found.unit == case.image.placement.order[place]
    assert (found.gate, found.row, found.bank) == (None, None, None)
    assert found.where == "products and sums are right; look at the element-wise lane"


def test_what_only_the_whole_run_shows_is_said(case: Any, files: VerilogFiles, work: Path) -> None:
    """A mismatch that came from elsewhere: the sequence alone is right."""
    trace = case.traces[2]
    claim = Mismatch(0, 2, 1, 4, "c", int(trace.cell[1, 4]), 99, cycle=1)
    found = diagnose(case.reference, case.image, files, case.sequences[2], claim, work)
    where = "right when the sequence runs alone from the images; look at what ran before it"
    assert found == replace(claim, where=where)


def test_a_wrong_sum_of_right_products_is_found(case: Any, broken: Any, work: Path) -> None:
    """PEs that present their sums with a bit turned over."""
    faulty = broken(case.image)
    pe = faulty.folder / "sparseflow_pe.v"
    text, count = re.subn(r"(result <= [^;]+);", r"\1 ^ (1 << 28);", pe.read_text())
    assert count == 1
    pe.write_text(text)
    found = verified(case, faulty, work).first
    assert found is not None
    assert (found.sequence, found.step, found.bank) == (0, 0, None)
    assert found.gate == "i"  # the sums of all gates are wrong in the same cycle
    assert found.row == found.unit
    assert re.match(r"pe0\.result is -?\d+, should be -?\d+ \(PEs 0 to 3\)", found.where)


@pytest.mark.slow
def test_verilator_finds_the_same(case: Any, broken: Any, work: Path) -> None:
    faulty = broken(FAULTS["recurrent value"].inject(case.image))
    run = simulate_verilog(faulty, Job.of(case.image, case.sequences), work, simulator="icarus")
    first = compare(case.image, run.outcome, case.traces).first
    assert first is not None
    sequence = case.sequences[first.sequence]
    arguments = (case.reference, case.image, faulty, sequence, first, work)
    found = diagnose(*arguments, "icarus")
    assert found.gate is not None
    assert diagnose(*arguments, "verilator") == found
