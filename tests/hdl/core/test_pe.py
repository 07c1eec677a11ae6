"""ProcessingElement against its model: random rows, write ports, extreme sums, exact latency."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from compiler.array.design import PART_PLACES, Design
from compiler.array.latency import pe_latency, tree_latency
from csb_format import IntArray
from csb_format.scales import MAX_ALIGN
from hdl.core.pe import ProcessingElement


@dataclass
class Scenario:
    """Cycles for a PE, and what its result port must hold at the end of each."""

    design: Design
    rng: np.random.Generator
    cycles: list[dict[str, Any]] = field(default_factory=list)
    results: dict[int, Any] = field(default_factory=dict)

    nothing: Any = 0

    def __post_init__(self) -> None:
        self.vector = np.zeros((self.design.lanes, self.design.vector_depth), np.int64)
        self.parked = np.zeros(self.design.slots, np.int64)
        self.parked_groups = np.zeros(self.design.slots, np.int64)

    def cycle(self, group: dict[str, int], word: Any, write_share: float = 0.5) -> None:
        """One cycle, with random writes to the vector that later groups see."""
        d, rng = self.design, self.rng
        ports = d.write_ports
        en = rng.random((ports, d.lanes)) < write_share
        row = int(rng.integers(d.vector_depth // ports))
        data = signed(rng, d.act_bits, (ports, d.lanes))
        write = vector_write(en, row, data)
        if d.parts:
            part = 1 << row // PART_PLACES
            write["en"] = [int(on) * part for on in np.ravel(en)]
        self.cycles.append({"group": group, "word": word, "write": write})
        for port in range(ports):
            self.vector[en[port], row * ports + port] = data[port][en[port]]

    def gap(self) -> None:
        """A cycle without a group, full of nonsense."""
        row = random_row(self.rng, self.design, 1)
        control = {"first": 1, "last": 1, "parked": 1, "slot": int(self.rng.integers(2))}
        control["park"] = int(self.rng.integers(2))
        self.cycle({"valid": 0, **control}, word_of(*(part[0] for part in row)))

    def row(self, groups: int, park: bool, parked: bool, zero: bool, gaps: float) -> None:
        """A row, and its sum by the model."""
        d, rng = self.design, self.rng
        slot, align = int(rng.integers(d.slots)), int(rng.integers(MAX_ALIGN + 1))
        base = int(rng.integers(d.vector_depth >> d.index_bits)) << d.index_bits
        groups = max(1, min(groups, d.row_groups - int(parked) * int(self.parked_groups[slot])))
        parked = parked and bool(groups + self.parked_groups[slot] <= d.row_groups)
        values, indices = random_row(rng, d, groups)
        operands = np.zeros((groups, d.lanes), np.int64)
        for j in range(groups):
            while rng.random() < gaps:
                self.gap()
            read = np.arange(d.lanes), base | indices[j]
            operands[j] = self.vector[read]
            control = {"valid": 1, "first": j == 0, "last": j == groups - 1, "park": park}
            control |= {"parked": parked, "zero": zero, "base": base, "slot": slot, "align": align}
            control |= self.told()
            self.cycle(control, word_of(values[j], indices[j]))
            if ProcessingElement.read_delay(d):  # behind that cycle's writes
                operands[j] = self.vector[read]
        start = self.parked[slot] * parked
        total = ProcessingElement.model(values, operands * (not zero), align, start)
        if park:
            self.parked[slot] = total
            self.parked_groups[slot] = groups + self.parked_groups[slot] * parked
        else:
            self.note(int(total))

    def told(self) -> dict[str, int]:
        """What else a group says."""
        return {}

    def note(self, total: int) -> None:
        """A result that the last cycle has ended."""
        self.results[len(self.cycles) - 1] = total

    def expected(self) -> list[Any]:
        """The result port: each result from ``latency`` cycles after its last group on."""
        latency, port = ProcessingElement.latency(self.design), [self.nothing] * len(self.cycles)
        held = self.nothing
        for t in range(len(self.cycles)):
            held = self.results.get(t - latency, held)
            port[t] = held
        return port

    def check(self, play: Any) -> None:
        """Play everything to a PE."""
        for _ in range(ProcessingElement.latency(self.design)):
            self.gap()
        seen = play(ProcessingElement(self.design), self.cycles, ["result"])
        assert self.results
        assert [plain(result) for (result,) in seen] == self.expected()


@dataclass
class Collected(Scenario):
    """Sums of the gates of a unit, which are shown with the last of them."""

    nothing: Any = field(default_factory=lambda: [0] * 4)
    gate: int = 0
    ready: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.kept = [0] * 4

    def told(self) -> dict[str, int]:
        return {"gate": self.gate, "ready": self.ready}

    def note(self, total: int) -> None:
        self.kept[self.gate] = total
        if self.ready:
            self.results[len(self.cycles) - 1] = list(self.kept)


def plain(value: Any) -> Any:
    """A number, or the numbers of an array."""
    return value if isinstance(value, int) else list(value)


def signed(rng: np.random.Generator, bits: int, size: Any) -> IntArray:
    drawn: IntArray = rng.integers(-(1 << bits - 1), 1 << bits - 1, size)
    return drawn


def random_row(rng: np.random.Generator, design: Design, groups: int) -> tuple[IntArray, IntArray]:
    size = (groups, design.lanes)
    return signed(rng, design.value_bits, size), rng.integers(0, 1 << design.index_bits, size)


def word_of(values: IntArray, indices: IntArray) -> list[dict[str, int]]:
    return [{"value": int(v), "index": int(i)} for v, i in zip(values, indices, strict=True)]


def vector_write(en: Any, row: int, data: IntArray) -> dict[str, Any]:
    mask = sum(1 << element for element, on in enumerate(np.ravel(en)) if on)
    return {"en": mask, "row": row, "data": [int(v) for v in np.ravel(data)]}


@pytest.mark.parametrize(("seed", "gaps"), [(1, 0.0), (2, 0.4)])
def test_random_rows_give_the_models_sums(
    play: Any, design: Design, seed: int, gaps: float
) -> None:
    rng = np.random.default_rng(seed)
    scenario = Scenario(design, rng)
    for _ in range(60):
        groups = int(rng.integers(1, design.row_groups + 1))
        park, parked, zero = (bool(rng.random() < share) for share in (0.4, 0.5, 0.15))
        scenario.row(groups, park, parked, zero, gaps)
    scenario.check(play)


@pytest.mark.parametrize(
    ("places", "ports", "deep"),
    [(160, 1, False), (160, 1, True), (128, 1, False), (33, 1, False), (280, 2, False)],
)
def test_banks_in_parts_give_the_same_sums_as_late(
    play: Any, places: int, ports: int, deep: bool
) -> None:
    """Parts that are full, the last that is not, one alone; several write ports."""
    index = (places - 1).bit_length() - 1
    design = Design(
        8, 2, 1, 6, 24, places, 4, 8, 16, index, 8, 8, projectors=2 * ports, deep=deep, parts=True
    )
    assert sum(design.bank_parts) * ports == places
    assert pe_latency(design) == pe_latency(replace(design, parts=False))
    scenario = Scenario(design, np.random.default_rng(places))
    for _ in range(60):
        scenario.row(int(scenario.rng.integers(1, 7)), False, False, False, 0.2)
    scenario.check(play)


@pytest.mark.parametrize("deep", [False, True])
def test_sums_of_a_unit_are_kept_until_its_last(play: Any, deep: bool) -> None:
    """In any order, some parked among them, rows of one group too."""
    design = Design(8, 2, 1, 6, 24, 32, 4, 8, 16, 4, 8, 8, deep=deep, by_gate=True)
    scenario = Collected(design, np.random.default_rng(4))
    for n in range(40):
        gates = scenario.rng.permutation(4)[: int(scenario.rng.integers(1, 5))].tolist()
        for gate in gates:
            scenario.gate, scenario.ready = gate, int(gate == gates[-1])
            groups = 1 if n % 2 else int(scenario.rng.integers(1, 4))
            scenario.row(groups, False, bool(gate % 2), False, 0.0 if n % 3 else 0.3)
        if n % 5 == 0:
            scenario.row(2, park=True, parked=False, zero=False, gaps=0)
    scenario.check(play)


def test_row_of_one_group_sees_the_sum_parked_in_the_cycle_before(
    play: Any, design: Design
) -> None:
    scenario = Scenario(design, np.random.default_rng(3))
    for _ in range(20):
        scenario.row(1, park=True, parked=False, zero=False, gaps=0)
        scenario.row(1, park=False, parked=True, zero=False, gaps=0)
    scenario.check(play)


@pytest.mark.parametrize("pause", [0, 1, 2, 3])
def test_a_sum_is_found_however_soon_after_it_was_parked(
    play: Any, design: Design, pause: int
) -> None:
    """Whatever is added up and parked between."""
    scenario = Scenario(design, np.random.default_rng(4))
    for n in range(24):
        scenario.row(1, park=True, parked=False, zero=False, gaps=0)
        for _ in range(pause):
            scenario.row(1, park=bool(n & 1), parked=False, zero=False, gaps=0)
        scenario.row(1, park=bool(n & 2), parked=True, zero=False, gaps=0)
    for _ in range(60):
        park, parked = (bool(scenario.rng.random() < 0.6) for _ in range(2))
        scenario.row(int(scenario.rng.integers(1, 3)), park, parked, False, 0.1)
    scenario.check(play)


@pytest.mark.parametrize(("value", "operand"), [("min", "min"), ("min", "max"), ("max", "min")])
def test_extreme_sums_do_not_overflow(play: Any, design: Design, value: str, operand: str) -> None:
    ends = {"min": lambda bits: -(1 << bits - 1), "max": lambda bits: (1 << bits - 1) - 1}
    weight, element = ends[value](design.value_bits), ends[operand](design.act_bits)
    elements = design.lanes * design.write_ports
    write = vector_write([1] * elements, 0, np.full(elements, element))
    word = [{"value": weight, "index": 0}] * design.lanes
    row = [
        {
            "word": word,
            "group": {
                "valid": 1,
                "first": j == 0,
                "last": j == design.row_groups - 1,
                "align": MAX_ALIGN,
            },
        }
        for j in range(design.row_groups)
    ]
    latency = ProcessingElement.latency(design)
    seen = play(ProcessingElement(design), [{"write": write}, *row], ["result"], latency)
    terms = design.row_groups * design.lanes
    assert [result for (result,) in seen[-2:]] == [0, terms * weight * element << MAX_ALIGN]


@pytest.mark.parametrize(
    ("operands", "fan_in", "registers"),
    [
        *((1, 4, 0), (2, 4, 1), (4, 4, 1), (5, 4, 2), (16, 4, 2), (17, 4, 3), (64, 4, 3)),
        *((2, 2, 1), (3, 2, 2), (64, 2, 6), (64, 64, 1), (9, 8, 2), (27, 3, 3), (28, 3, 4)),
    ],
)
def test_tree_has_a_register_for_every_fan_in_operands(
    operands: int, fan_in: int, registers: int
) -> None:
    assert tree_latency(operands, fan_in) == registers
    assert fan_in**registers >= operands


@pytest.mark.parametrize("ports", [1, 2, 4])
def test_one_write_covers_as_many_places_as_there_are_ports(play: Any, ports: int) -> None:
    design = Design(16, 2, 1, 2, 8, 16, 2, 4, 4, 4, 8, 8, projectors=2 * ports)
    assert design.write_ports == ports
    element = np.arange(ports * 2).reshape(ports, 2) + 1
    rows = [vector_write(np.ones((ports, 2)), row, element + 8 * row) for row in range(2)]
    cycles: list[dict[str, Any]] = [{"write": write} for write in rows]
    for place in range(2 * ports):
        group = {"valid": 1, "first": 1, "last": 1, "base": place & 1}
        word = [{"value": 1, "index": place & ~1}, {"value": 10, "index": place & ~1}]
        cycles.append({"group": group, "word": word})
    latency = ProcessingElement.latency(design)
    seen = play(ProcessingElement(design), cycles, ["result"], latency)
    sums = [
        int(element[place % ports] @ [1, 10]) + 88 * (place // ports) for place in range(2 * ports)
    ]
    assert [result for (result,) in seen[2 + latency :]] == sums


@pytest.mark.parametrize("fan_in", [2, 3, 5, 8])
def test_any_fan_in_gives_the_same_sums(play: Any, fan_in: int) -> None:
    design = Design(4, 7, 1, 4, 12, 16, 3, 6, 12, 3, 8, 8, fan_in=fan_in)
    scenario = Scenario(design, np.random.default_rng(fan_in))
    for _ in range(20):
        scenario.row(2, park=False, parked=False, zero=False, gaps=0.1)
    scenario.check(play)


def test_model_is_a_plain_dot_product() -> None:
    values, operands = np.array([[3, -5], [7, 11]]), np.array([[2, 4], [-6, 1]])
    total = ProcessingElement.model(values, operands, 3, np.array(-9))
    assert total == -9 + 8 * (6 - 20 - 42 + 11)
    many = ProcessingElement.model(np.stack([values] * 2), operands, 0, np.array([0, 100]))
    assert many.tolist() == [-45, 55]
