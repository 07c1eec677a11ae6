"""The accelerator's Verilog as a program behind the driver: accesses, errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from boards.host.driver import Accelerator
from boards.host.errors import RefusedError
from boards.learn.compiled import CompiledBus
from compiler.abi.registers import MAGIC, REGISTERS
from compiler.array.needs import design_for
from engine.reference import LayerModel
from sim.bus.compiled import CompiledBuses
from sim.run.errors import SimulationError
from sim.run.streams import Pauses
from tests.engine.learn.networks import batch, network


class Answers:
    """Buses that answer what they are told to."""

    def __init__(self, codes: list[int]):
        self.codes, self.closed = codes, False

    def read(self, address: int, count: int) -> list[tuple[int, int]]:
        return [(code, address + n) for n, code in enumerate(self.codes[:count])]

    def write(self, address: int, words: list[int]) -> list[int]:
        return self.codes[: len(words)]

    def send(self, words: list[int], last: bool) -> int:
        return len(words) - (not last)

    def receive(self, count: int) -> tuple[list[int], bool]:
        return [7] * count, count > 1

    def close(self) -> None:
        self.closed = True


def test_what_the_buses_answer_is_what_the_driver_gets() -> None:
    buses: Any = Answers([0, 0, 2])
    bus = CompiledBus(buses)
    assert bus.read(0x40, 2) == [0x40, 0x41]
    bus.write(0x44, [1, 2])
    with pytest.raises(RefusedError, match="a read at 0x040 was refused at word 2 of 3"):
        bus.read(0x40, 3)
    with pytest.raises(RefusedError, match="a write to 0x044 was refused at word 2 of 3"):
        bus.write(0x44, [1, 2, 3])
    assert (bus.send([1, 2], True), bus.send([1, 2], False)) == (2, 1)
    found = [bus.receive(count) for count in (1, 2)]
    assert [(one.words, one.last) for one in found] == [((7,), False), ((7, 7), True)]
    bus.close()
    assert buses.closed


@pytest.fixture
def buses(tmp_path: Path) -> Iterator[CompiledBuses]:
    model = network()
    found = CompiledBuses(design_for(model, 4, 4, head=True), tmp_path, Pauses(0.4, 5))
    yield found
    found.close()


@pytest.mark.slow
def test_the_driver_runs_and_errors_are_told(buses: CompiledBuses) -> None:
    model = network()
    (magic, code), (frames, _) = buses.read(REGISTERS["magic"].address)[0][::-1], batch(model)
    assert (magic, code) == (MAGIC, 0)
    assert buses.write(REGISTERS["magic"].address, [1])[0]
    before = buses.cycles()
    with Accelerator(CompiledBus(buses), design_for(model, 4, 4, head=True)) as accelerator:
        accelerator.load(model, head=True)
        found = accelerator.run(frames[0])
        wanted = LayerModel(model.layers[0]).run([frames[0]])[0]
        assert (found.output == wanted.output).all()
        assert buses.cycles() > before
    with pytest.raises(SimulationError, match="is closed"):
        buses.cycles()
