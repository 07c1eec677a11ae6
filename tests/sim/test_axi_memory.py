"""The memory that streamed matrices are tried with: it is late as told, and watches its master."""

from __future__ import annotations

from itertools import pairwise

import pytest

from hdl.dram.reader import ReadBus
from hdl.read_port import DECERR, SLVERR
from sim.axi_memory import AxiMemory, Lateness

BUS = ReadBus(64, 32, 4, 2, 8)


class Master:
    """Ports as a master drives them; inputs are what the memory sets."""

    def __init__(self, **offers: int):
        quiet = {"arvalid": 0, "araddr": 0, "arlen": 0, "arsize": 3, "arburst": 1, "rready": 1}
        self.values = {f"m_axi_{name}": value for name, value in (quiet | offers).items()}
        self.seen: list[dict[str, int]] = []

    def get(self, name: str) -> int:
        return self.values[name]

    def set(self, name: str, value: int) -> None:
        self.values[name] = value

    async def settle(self) -> None:
        pass

    async def tick(self) -> None:
        raise NotImplementedError

    def play(self, memory: AxiMemory, cycles: int) -> list[dict[str, int]]:
        """Offer until the first address is accepted, then only listen."""
        for cycle in range(cycles):
            memory.step(self, cycle)
            self.seen.append({n.removeprefix("m_axi_"): v for n, v in self.values.items()})
            if self.values["m_axi_arready"]:
                self.values["m_axi_arvalid"] = 0
        return [beat for beat in self.seen if beat.get("rvalid")]


def test_beats_come_in_order_after_the_latency() -> None:
    memory = AxiMemory(BUS, bytes(range(64)), 4096, Lateness((7, 7)))
    beats = Master(arvalid=1, araddr=4096 + 16, arlen=2).play(memory, 20)
    words = [int.from_bytes(bytes(range(i, i + 8)), "little") for i in (16, 24, 32)]
    assert [(b["rdata"], b["rresp"], b["rlast"]) for b in beats] == [
        (words[0], 0, 0),
        (words[1], 0, 0),
        (words[2], 0, 1),
    ]
    assert memory.traffic.accepted == [0]
    assert memory.traffic.arrived == [7, 8, 9]
    assert memory.traffic.violations == []


def test_waits_and_gaps_are_those_of_the_lateness() -> None:
    late = Lateness((3, 9), 0.7, 0.7, seed=6)
    memory = AxiMemory(BUS, bytes(64), 0, late)
    Master(arvalid=1, arlen=3).play(memory, 90)
    accepted, arrived = memory.traffic.accepted, memory.traffic.arrived
    assert accepted == [late.wait_of(0)]
    assert arrived[0] == accepted[0] + late.latency_of(0)
    gaps = [b - a - 1 for a, b in pairwise(arrived)]
    assert gaps == [late.gap_of(n) for n in (1, 2, 3)]
    assert sum(gaps) > 0


def test_outside_and_broken_addresses_answer_with_errors() -> None:
    memory = AxiMemory(BUS, bytes(24), 0, Lateness((1, 1)), broken=lambda a: a == 8)
    beats = Master(arvalid=1, arlen=3).play(memory, 9)
    assert [b["rresp"] for b in beats] == [0, SLVERR, 0, DECERR]


@pytest.mark.parametrize(
    ("offers", "match"),
    [
        ({"araddr": 4096 - 16, "arlen": 3}, "burst of 4 beats at 0xff0 crosses 4096 bytes"),
        ({"araddr": 4}, "at 0x4 crosses"),
        ({"arsize": 2}, r"arsize, arburst = \(2, 1\)"),
        ({"arburst": 0}, r"arsize, arburst = \(3, 0\)"),
    ],
)
def test_a_master_that_breaks_the_rules_is_noted(offers: dict[str, int], match: str) -> None:
    memory = AxiMemory(BUS, bytes(8192), 0, Lateness((1, 1)))
    Master(arvalid=1, **offers).play(memory, 3)
    with pytest.raises(AssertionError, match=match):
        assert not memory.traffic.violations, memory.traffic.violations


def test_an_offer_that_is_taken_back_is_noted() -> None:
    late = next(Lateness((1, 1), 0.9, seed=s) for s in range(99) if _waits(s) > 2)
    memory, master = AxiMemory(BUS, bytes(64), 0, late), Master(arvalid=1)
    memory.step(master, 0)
    master.values["m_axi_arvalid"] = 0
    memory.step(master, 1)
    assert memory.traffic.violations == ["burst 0: offered (0, 1), then None"]


def _waits(seed: int) -> int:
    return Lateness((1, 1), 0.9, seed=seed).wait_of(0)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"latency": (0, 3)}, r"latency \(0, 3\): must be \(least, most\)"),
        ({"latency": (5, 3)}, r"latency \(5, 3\)"),
        ({"waits": 1.0}, r"waits = 1.0: must be 0 to below 1"),
        ({"gaps": -0.1}, r"gaps = -0.1"),
    ],
)
def test_lateness_that_cannot_be(values: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Lateness(**values)  # type: ignore[arg-type]
