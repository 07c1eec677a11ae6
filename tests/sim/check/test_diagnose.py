"""Injected faults are found: the very layer, step, gate, row, bank and cycle."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from compiler.abi.frames import Stimulus
from compiler.array.program import Sink
from compiler.lower.image import Image
from compiler.timing.cycle_model import CycleModel
from compiler.timing.issued import Issued, issued
from csb_format.files.images import write_mem
from hdl.verilog import VerilogFiles, emit_verilog
from sim.check.checks import Bench
from sim.check.compare import Mismatch
from sim.check.diagnose import NOT_AGAIN, diagnose
from sim.check.verify import Verification, verify
from sim.run.errors import Hang
from sim.run.scenario import Job
from sim.run.verilog import simulate_verilog


@dataclass(frozen=True)
class Fault:
    """A bit of one stored weight."""

    name: str  # of the pass
    field: str
    pe: int
    slot: int
    group: int
    lane: int
    bit: int

    def runs(self, image: Image, frames: int = 1, part: int = 0) -> list[Issued]:
        """Of each frame the pass that has the slot, in a run of one sequence."""
        found = issued(image, part, CycleModel(image, part).run(frames))
        return [r for r in found if r.given.name == self.name and self.slot in r.slots]

    def inject(self, image: Image, part: int = 0) -> Image:
        address = self.runs(image, 1, part)[0].word(self.slot, self.group)
        offset = self.bit + (image.design.value_bits if self.field == "index" else 0)
        bit = self.lane * image.design.entry_bits + offset
        return flipped(image, f"matrix_{self.pe:03d}", address, bit)


def flipped(image: Image, memory: str, address: int, bit: int) -> Image:
    words = list(image.memories[memory])
    words[address] ^= 1 << bit
    return replace(image, memories={**image.memories, memory: words})


# 9 units on 4 PEs: one unit a slot; unit (slot mod 4) * 3 + slot div 4, gate = PE
IH, HH = "layer 0 weight_ih", "layer 0 weight_hh"
FAULTS = {
    "input value": Fault(IH, "value", pe=2, slot=2, group=1, lane=0, bit=14),
    "input index": Fault(IH, "index", pe=0, slot=6, group=0, lane=3, bit=0),
    "recurrent value": Fault(HH, "value", pe=3, slot=9, group=0, lane=1, bit=15),
    "recurrent index": Fault(HH, "index", pe=1, slot=1, group=1, lane=2, bit=1),
}


@pytest.fixture
def broken(files: VerilogFiles, tmp_path: Path) -> Callable[..., VerilogFiles]:
    """Hardware with the memory contents of another image."""

    def write(image: Image, hardware: VerilogFiles = files) -> VerilogFiles:
        shutil.copytree(hardware.folder, tmp_path / "faulty")
        for name, words in image.memories.items():
            write_mem(tmp_path / "faulty" / f"{name}.mem", words, image.width(name))
        return replace(hardware, folder=tmp_path / "faulty")

    return write


def verified(case: Any, files: VerilogFiles, work: Path, **more: Any) -> Verification:
    more = {"simulator": "icarus"} | more
    return verify(case.reference, case.image, files, case.sequences, work, **more)


@dataclass(frozen=True)
class Hunt:
    """Faults in hardware of a network's own, one after the other, and what is found of each."""

    case: Any
    files: VerilogFiles
    broken: Callable[..., VerilogFiles]
    work: Path

    def of(self, image: Image) -> Mismatch:
        """What is found with the memories of another image."""
        faulty = self.broken(image, self.files)
        shown = verified(self.case, faulty, self.work)
        shutil.rmtree(faulty.folder)
        assert shown.first is not None
        return shown.first

    def in_slot(self, name: str, slot: int) -> Mismatch:
        """A weight of PE 1."""
        fault = Fault(name, "value", pe=1, slot=slot, group=0, lane=1, bit=15)
        return self.of(fault.inject(self.case.image))

    def of_bias(self, layer: int, number: int) -> Mismatch:
        """The highest bit but one of a bias of the first unit."""
        image = self.case.image
        finish = next(p for p in image.parts[0].whole if p.layer == layer and p.biased)
        width = image.design.state.width
        bit = number * width + width - 2
        found = self.of(flipped(image, "bias_000", finish.instruction.bias, bit))
        assert "bias_000" in found.where
        return found


@pytest.fixture
def hunt(broken: Callable[..., VerilogFiles], work: Path, tmp_path: Path) -> Callable[[Any], Hunt]:
    def start(case: Any) -> Hunt:
        files = emit_verilog(case.image.design, tmp_path / "hardware", case.image)
        return Hunt(case, files, broken, work)

    return start


PRODUCT = 4  # cycles from the issue of a group to its products: two of the memory, two in the PE


def product_cycle(image: Image, fault: Fault, step: int) -> int:
    """When the product of a fault is there, in a run of one sequence."""
    return fault.runs(image, step + 2)[step].cycle(fault.slot, fault.group) + PRODUCT


QUICK_FAULTS = ("input value", "recurrent index")


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n not in QUICK_FAULTS)) for n in FAULTS],
)
def test_a_flipped_bit_of_a_weight_is_found(case: Any, broken: Any, work: Path, name: str) -> None:
    fault = FAULTS[name]
    shown = verified(case, broken(fault.inject(case.image)), work)
    found = shown.first
    assert found is not None
    row, gate = int(case.placement.rows[fault.slot, fault.pe]), "ifgo"[fault.pe]
    assert (found.gate, found.row, found.bank) == (gate, row, fault.lane)
    assert (found.matrix, found.layer) == (fault.name.split()[-1], 0)
    assert (found.sequence, found.unit) == (0, row % 9)
    assert found.step >= (fault.name == HH)  # h is zero in the first step
    assert found.cycle == product_cycle(case.image, fault, found.step)
    assert found.where.startswith(f"pe{fault.pe}.product{fault.lane} is ")
    word = fault.runs(case.image)[0].word(fault.slot, fault.group)
    named = rf"; word {word} of matrix_00{fault.pe} is 0x(\w+), should be 0x(\w+)$"
    got, want = (int(text, 16) for text in re.search(named, found.where).groups())  # type: ignore[union-attr]
    assert (got ^ want).bit_count() == 1
    place = f"layer 0, sequence 0, step {found.step}: {found.state}[{found.unit}] is {found.got}"
    matrix = fault.name.split()[-1]
    assert str(found).startswith(
        f"{place}, should be {found.expected}; {matrix} gate {gate}, row {row}"
    )
    assert f", bank {fault.lane}, cycle {found.cycle}: pe{fault.pe}.product" in str(found)
    assert not shown.exact
    assert shown.cycle_mismatch is None


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_flipped_bit_of_a_bias_is_found(case: Any, work: Path, tmp_path: Path) -> None:
    place, gate = 5, 2
    image = flipped(case.image, "bias_000", place, gate * 18 + 16)
    found = verified(case, emit_verilog(image.design, tmp_path / "faulty", image), work).first
    assert found is not None
    assert (found.sequence, found.step) == (0, 0)
    unit = case.placement.order[place]
    assert found.unit == unit
    assert (found.gate, found.row, found.bank) == ("g", 2 * 9 + unit, None)
    bias = int(case.model.layers[0].bias[found.row])
    wrong = f"lane0.bias is {bias ^ (1 << 16)}, should be {bias}; look at word {place} of bias_000"
    assert found.where == wrong


def test_what_no_replay_shows_is_said(case: Any, files: VerilogFiles, work: Path) -> None:
    """A mismatch that came from elsewhere: all replays are right."""
    trace = case.traces[2]
    claim = Mismatch(0, 2, 1, 4, "c", int(trace.cell[1, 4]), 99, cycle=1)
    stimulus = Stimulus.of(case.image, case.sequences)
    found = diagnose(stimulus, case.levels, claim, Bench(files, work))
    assert found == replace(claim, where=NOT_AGAIN)


def edited(files: VerilogFiles, module: str, pattern: str, by: str) -> VerilogFiles:
    path = files.folder / f"{module}.v"
    text, count = re.subn(pattern, by, path.read_text())
    assert count == 1
    path.write_text(text)
    return files


def test_a_wrong_sum_of_right_products_is_found(case: Any, broken: Any, work: Path) -> None:
    """PEs that present their sums with a bit turned over."""
    faulty = broken(case.image)
    edited(faulty, "sparseflow_pe", r"(result <= [^;]+);", r"\1 ^ (1 << 28);")
    found = verified(case, faulty, work).first
    assert found is not None
    assert (found.sequence, found.step, found.bank) == (0, 0, None)
    assert found.gate == "i"  # the sums of all gates are wrong in the same cycle
    assert found.row == found.unit
    assert re.match(r"pe0\.result is -?\d+, should be -?\d+$", found.where)


@pytest.mark.slow
def test_a_wrong_element_of_right_sums_points_to_its_lane(
    case: Any, broken: Any, work: Path
) -> None:
    """Lanes that put out the hidden state with a bit turned over."""
    faulty = broken(case.image)
    edited(faulty, "sparseflow_lane", r"(\n\s+hidden <= [^;]+);", r"\1 ^ 1;")
    found = verified(case, faulty, work).first
    assert found is not None
    assert (found.state, found.step, found.gate, found.row) == ("h", 0, None, None)
    assert found.where == "all that it is made of is right; look at lane0"


NETWORK: dict[str, Any] = {"layers": 2, "projection": 6, "head": 5}
OPTIONS = {"head": True, "contexts": 2}


@pytest.fixture(scope="session")
def network(make_network: Any) -> Any:
    """Two projected layers and a linear one; two streams."""
    return make_network(3, (4, 4), (3, 2, 2), options=OPTIONS, **NETWORK)


@pytest.fixture(scope="session")
def network_files(network: Any, tmp_path_factory: pytest.TempPathFactory) -> VerilogFiles:
    folder = tmp_path_factory.mktemp("v") / "network"
    return emit_verilog(network.image.design, folder, network.image)


NETWORK_FAULTS = [
    Fault("layer 0 weight_ih", "value", pe=0, slot=6, group=0, lane=2, bit=15),
    Fault("layer 0 weight_hh", "value", pe=2, slot=4, group=1, lane=0, bit=15),
    Fault("layer 0 weight_hr", "value", pe=0, slot=1, group=0, lane=1, bit=15),
    Fault("layer 1 weight_ih", "value", pe=3, slot=10, group=0, lane=0, bit=15),
    Fault("layer 1 weight_hh", "value", pe=0, slot=10, group=1, lane=1, bit=15),
    Fault("layer 1 weight_hr", "index", pe=2, slot=0, group=1, lane=0, bit=0),
    Fault("head", "value", pe=1, slot=1, group=1, lane=0, bit=14),
]


# each takes two runs of Icarus
QUICK = ("layer 0 weight_hr", "layer 1 weight_ih", "head")
MARKED = [pytest.param(f, marks=[pytest.mark.slow] * (f.name not in QUICK)) for f in NETWORK_FAULTS]


@pytest.mark.quick(1)
@pytest.mark.parametrize("fault", MARKED, ids=lambda f: f.name)
def test_a_fault_in_any_matrix_is_found(
    network: Any, network_files: VerilogFiles, broken: Any, work: Path, fault: Fault
) -> None:
    faulty = broken(fault.inject(network.image), network_files)
    stimulus = Stimulus.of(network.image, network.sequences, contexts=2)
    claim = Mismatch(1, 0, 2, 0, "h", 0, 1, cycle=0)
    found = diagnose(stimulus, network.levels, claim, Bench(faulty, work))
    run = fault.runs(network.image)[0]
    row = int(run.given.placement.rows[fault.slot, fault.pe])
    assert row >= 0
    assert (found.matrix, found.row, found.bank) == (fault.name.split()[-1], row, fault.lane)
    assert found.layer == int(fault.name.split()[1] if "layer" in fault.name else 1)
    gates = run.given.sink != Sink.PROJECT
    assert (found.gate, found.unit) == (("ifgo"[fault.pe], row % 9) if gates else (None, row))
    assert found.step == (1 if fault.name.endswith("hh") else 0)
    assert found.where.startswith(f"pe{fault.pe}.product{fault.lane} is ")
    word = run.word(fault.slot, fault.group)
    assert f"; word {word} of matrix_00{fault.pe} is 0x" in found.where
    mine = fault.runs(network.image, 3)[found.step]
    assert found.cycle == mine.cycle(fault.slot, fault.group) + PRODUCT


@pytest.mark.slow
def test_a_flipped_bit_of_a_linear_layers_bias_is_found(
    network: Any, network_files: VerilogFiles, broken: Any, work: Path
) -> None:
    faulty = broken(flipped(network.image, "linear_000", 1, 3), network_files)
    found = verified(network, faulty, work).first
    assert found is not None
    head = network.image.parts[0].emissions[-1].placement
    unit = int(head.order[head.lanes])
    assert (found.state, found.unit, found.row, found.gate) == ("y", unit, unit, None)
    assert found.where.startswith("projector0.bias is ")
    assert found.where.endswith("; look at word 1 of linear_000")


def program_fault(image: Image, place: int, **fields: Any) -> Image:
    """The image with an instruction that has other fields."""
    words = list(image.memories["program"])
    words[place] = replace(image.program[place], **fields).encode(image.design)
    return replace(image, memories={**image.memories, "program": words})


def first_run(image: Image, name: str) -> Issued:
    """The first instruction of a pass, with more frames to come."""
    return Fault(name, "", 0, 0, 0, 0, 0).runs(image, 3)[0]


def test_a_wrong_field_of_the_program_is_named(
    network: Any, network_files: VerilogFiles, broken: Any, work: Path
) -> None:
    """Values are wrong, the cycles are right."""
    name = "layer 1 weight_ih"
    run = first_run(network.image, name)
    address, now = run.issue.address, run.instruction
    shift = (now.shift[0] + 1, *now.shift[1:])
    faulty = broken(program_fault(network.image, address, shift=shift), network_files)
    shown = verified(network, faulty, work, contexts=2)
    assert shown.first is not None
    assert shown.cycle_mismatch is None
    text = f"instruction {address} ({name}): shift is {shift}, should be {now.shift}"
    assert shown.first.where == text
    assert shown.first.cycle == run.issue.start


@pytest.mark.slow
def test_a_longer_interval_is_named_with_its_cycle(
    network: Any, network_files: VerilogFiles, broken: Any, work: Path
) -> None:
    """Values are right, the cycles are wrong."""
    name = "layer 0 weight_hr"
    run = first_run(network.image, name)
    address, now = run.issue.address, run.instruction
    slower = program_fault(network.image, address, interval=now.interval + 1)
    shown = verified(network, broken(slower, network_files), work, contexts=2)
    assert shown.first is None
    assert shown.cycle_mismatch is not None
    assert shown.cycle_mismatch.where == (
        f"cycle {run.issue.start}: instruction {address} ({name}): "
        f"interval is {now.interval + 1}, should be {now.interval}"
    )
    assert str(shown.cycle_mismatch).endswith(shown.cycle_mismatch.where)


def test_a_program_that_goes_astray_is_told_from_the_hang(
    network: Any, network_files: VerilogFiles, broken: Any, work: Path
) -> None:
    run = first_run(network.image, "layer 0 weight_hr")
    address, now = run.issue.address, run.instruction
    halting = len(network.image.program)  # memory that was never written halts
    lost = program_fault(network.image, address, next=halting)
    with pytest.raises(
        Hang,
        match=rf"(?s)nothing moved.*cycle \d+: instruction {address} \(layer 0 weight_hr\): "
        rf"next is {halting}, should be {now.next}$",
    ):
        verified(network, broken(lost, network_files), work)


def test_a_program_that_never_starts_is_told(
    network: Any, network_files: VerilogFiles, broken: Any, work: Path
) -> None:
    never = program_fault(network.image, 0, frame_beats=0)
    with pytest.raises(Hang, match=r"(?s)nothing moved.*\nno frame is taken; look at"):
        verified(network, broken(never, network_files), work)


@pytest.mark.slow
def test_a_fault_in_the_second_direction_of_the_second_level_is_found(
    make_network: Any, work: Path, tmp_path: Path
) -> None:
    case = make_network(4, (4, 4), (3, 2), layers=2, directions=2)
    fault = Fault("layer 1 weight_hh", "value", pe=1, slot=5, group=0, lane=2, bit=15)
    image = fault.inject(case.image, part=1)
    files = emit_verilog(image.design, tmp_path / "faulty", image)
    shown = verified(case, files, work)
    found = shown.first
    assert found is not None
    assert [level.exact for level in shown.before] == [True]
    row = int(fault.runs(case.image, 1, 1)[0].given.placement.rows[fault.slot, fault.pe])
    assert (found.layer, found.matrix, found.gate, found.row, found.bank) == (
        3,
        "weight_hh",
        "f",
        row,
        2,
    )
    assert found.step == 1


@pytest.mark.slow
@pytest.mark.parametrize("fault", NETWORK_FAULTS[1:5:2], ids=lambda f: f.name)
def test_a_deep_design_is_diagnosed(
    make_network: Any, work: Path, tmp_path: Path, fault: Fault
) -> None:
    """With more registers all that is looked at is somewhere else."""
    case = make_network(3, (4, 4), (3, 2, 2), options=OPTIONS | {"deep": True}, **NETWORK)
    image = fault.inject(case.image)
    files = emit_verilog(image.design, tmp_path / "faulty", image)
    found = verified(case, files, work).first
    assert found is not None
    row = int(fault.runs(case.image)[0].given.placement.rows[fault.slot, fault.pe])
    assert (found.matrix, found.row, found.bank) == (fault.name.split()[-1], row, fault.lane)
    assert f"of matrix_00{fault.pe} is 0x" in found.where


@pytest.mark.slow
@pytest.mark.parametrize("skips", [0, 3], ids=["first groups", "others"])
def test_a_fault_of_either_pass_of_a_projection_is_found(
    make_network: Any, hunt: Callable[[Any], Hunt], skips: int
) -> None:
    network = {"hidden_size": 24, "projection": 22, "k": (1, 2, 5)}
    options = {"shallow": True, "projectors": 8}
    case = make_network(3, (8, 4), (3,), options=options, **network)
    given = next(p for p in case.image.parts[0].whole if p.skips == skips and "hr" in p.matrix)
    bit = case.image.design.entry_bits + 15  # of lane 1
    found = hunt(case).of(flipped(case.image, "matrix_001", given.instruction.matrix, bit))
    row = int(given.placement.rows[0, 1])
    assert (found.matrix, found.row, found.bank) == ("weight_hr", row, 1)


@pytest.mark.slow
def test_verilator_finds_the_same(case: Any, broken: Any, work: Path) -> None:
    faulty = broken(FAULTS["recurrent value"].inject(case.image))
    run = simulate_verilog(faulty, Job.of(case.image, case.sequences), work, simulator="icarus")
    first = case.compare(run.outcome).first
    assert first is not None
    stimulus = Stimulus.of(case.image, case.sequences)
    found = diagnose(stimulus, case.levels, first, Bench(faulty, work, "icarus"))
    assert found.gate is not None
    assert diagnose(stimulus, case.levels, first, Bench(faulty, work, "verilator")) == found


@pytest.mark.slow
@pytest.mark.parametrize("layer", [0, 1])
def test_a_fault_of_a_gru_is_found(
    make_network: Any, hunt: Callable[[Any], Hunt], layer: int
) -> None:
    """Of every row, also of n, whose two sums go apart; and a bias of the state."""
    case = make_network(3, (3, 4), (2, 2), cell="gru", layers=2)
    hunted = hunt(case)
    placement = case.image.parts[0].whole[0].placement
    for matrix in ("weight_ih", "weight_hh"):
        for slot in range(3):
            name = f"layer {layer} {matrix}"
            found, row = hunted.in_slot(name, slot), int(placement.rows[slot, 1])
            assert (found.gate, found.row, found.bank) == ("rzn"[slot], row, 1)
            assert (found.matrix, found.layer) == (matrix, layer)
    assert hunted.of_bias(layer, 3).gate == "n"


@pytest.mark.slow
@pytest.mark.parametrize("layer", [0, 1])
def test_a_fault_in_a_slot_of_one_gate_is_found(
    make_network: Any, hunt: Callable[[Any], Hunt], layer: int
) -> None:
    """Of a row of each gate, in a short round and in a whole one; and a bias."""
    k = (1, 2, 3, 2), (2, 1, 2, 3), 1
    case = make_network(3, (8, 4), (2, 2), layers=2, k=k, projection=6)
    assert case.image.design.collects
    hunted = hunt(case)
    placement = case.image.parts[0].whole[0].placement
    assert [one.blocks for one in placement.rounds.each] == [2, 4]
    for matrix, slot in [("weight_ih", 0), ("weight_hh", 1), ("weight_ih", 4), ("weight_hh", 5)]:
        found, row = hunted.in_slot(f"layer {layer} {matrix}", slot), int(placement.rows[slot, 1])
        assert (found.gate, found.row, found.bank) == ("ifgo"[row // 9], row, 1)
        assert (found.matrix, found.layer) == (matrix, layer)
    assert hunted.of_bias(layer, 3).gate == "o"


@pytest.mark.slow
@pytest.mark.parametrize("layer", [0, 1])
def test_a_fault_of_a_gru_whose_reset_comes_first_is_found(
    make_network: Any, hunt: Callable[[Any], Hunt], layer: int
) -> None:
    """Of the pass of every gate: ``r * h`` is looked at itself, z with the state that it mixes."""
    case = make_network(3, (3, 4), (2, 2), cell="gru0", layers=2)
    hunted = hunt(case)
    for gate, state in zip("rzn", "vhh", strict=True):
        for matrix in ("weight_ih", "weight_hh"):
            name = f"layer {layer} {matrix} {gate}"
            given = next(p for p in case.image.parts[0].whole if p.name == name)
            found, row = hunted.in_slot(name, 0), int(given.placement.rows[0, 1])
            assert (found.gate, found.row, found.bank) == (gate, row, 1)
            assert (found.matrix, found.layer, found.state) == (matrix, layer, state)
    assert hunted.of_bias(layer, 1).gate == "z"
