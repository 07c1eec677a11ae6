"""Ways to the accelerator that need hardware, on stand-ins for it; networks of every kind."""

from __future__ import annotations

import os
import select
import sys
import threading
import tty
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from boards.board import board as board_named
from boards.host.bus import LinkError, LinkTimeoutError
from boards.host.driver import Accelerator, AcceleratorError, WrongModelError
from boards.host.emulator import EmulatedAccelerator, EmulatedLine
from boards.host.lines import SerialLine
from boards.host.pynq import PynqBus
from boards.link.simulation import SimulatedLine, emit_link
from compiler.abi.identity import COMPACT_COUNTERS
from compiler.abi.registers import REGISTERS, VERSION
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.load import Space, header
from csb_format import IntArray, Model
from csb_format.random_models import random_frames, random_model, random_network
from engine.reference import IntegerModel
from sim.run.errors import SimulationError

MODEL = random_model(np.random.default_rng(1), 6, 5, 2, 1, 2)
DESIGN = design_for(MODEL, 4, 2)
OURS = rf"{VERSION[0]}\.{VERSION[1]}"
RNG = np.random.default_rng


def frames(model: Model, length: int) -> IntArray:
    return random_frames(RNG(5), model, [length])[0]


@pytest.fixture
def terminal() -> Iterator[tuple[str, EmulatedLine]]:
    """A serial port with an emulated board behind it."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    line, ended = EmulatedLine(DESIGN), threading.Event()

    def pump() -> None:
        while not ended.is_set():
            if select.select([ours], [], [], 0.02)[0]:
                line.write(os.read(ours, 4096))
                os.write(ours, line.read(0))

    thread = threading.Thread(target=pump)
    thread.start()
    yield os.ttyname(theirs), line
    ended.set()
    thread.join()
    os.close(ours)
    os.close(theirs)


def test_a_serial_port(terminal: tuple[str, EmulatedLine]) -> None:
    port, line = terminal
    image, given = compile_model(MODEL, DESIGN), frames(MODEL, 9)
    line.know(image)
    with Accelerator.open(f"serial:{port}?baud=115200", DESIGN) as board:
        board.load(image)
        hidden = board.run(given).hidden
    assert np.array_equal(hidden, IntegerModel(MODEL).run([given])[0].hidden)


def test_a_serial_port_without_a_board() -> None:
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    line = SerialLine(os.ttyname(theirs), 115200)
    with pytest.raises(LinkTimeoutError, match=r"no answer to HELLO within 0.05 s: check cable"):
        Accelerator.on(line, DESIGN, timeout=0.05, retries=0)
    os.close(ours)
    os.close(theirs)


class Channel:
    """One direction of a DMA engine."""

    def __init__(self, accelerator: EmulatedAccelerator):
        self.accelerator, self.idle, self.transferred = accelerator, True, 0
        self.buffer: Any = None

    def transfer(self, buffer: Any, nbytes: int = 0) -> None:
        if nbytes:
            words = [int(word) for word in buffer[: nbytes // 4]]
            assert self.accelerator.send(words, True) == len(words)
        else:
            self.buffer = buffer

    def poll(self) -> None:
        """A packet, if there is one."""
        words: list[int] = []
        while got := self.accelerator.receive(1):
            words.append(got[0][0])
            if got[0][1]:
                break
        self.idle = bool(words)
        self.buffer[: len(words)] = words
        self.transferred = 4 * len(words)


@pytest.fixture
def zynq(monkeypatch: pytest.MonkeyPatch) -> EmulatedAccelerator:
    """PYNQ, with an emulated accelerator in its overlay."""
    accelerator = EmulatedAccelerator(DESIGN)

    class Receiving(Channel):
        def transfer(self, buffer: Any, nbytes: int = 0) -> None:
            super().transfer(buffer)
            self.poll()

    class Buffer(np.ndarray):
        def freebuffer(self) -> None: ...

    overlay = SimpleNamespace(
        accelerator=SimpleNamespace(
            mmio=SimpleNamespace(read=accelerator.read, write=accelerator.write)
        ),
        dma=SimpleNamespace(sendchannel=Channel(accelerator), recvchannel=Receiving(accelerator)),
    )
    allocate = lambda count, kind: np.zeros(count, kind).view(Buffer)  # noqa: E731
    module = SimpleNamespace(Overlay=lambda _: overlay, allocate=allocate)
    monkeypatch.setitem(sys.modules, "pynq", module)
    return accelerator


def test_pynq(zynq: EmulatedAccelerator) -> None:
    image, given = compile_model(MODEL, DESIGN), frames(MODEL, 3)
    zynq.images.append(image)
    bus = PynqBus("overlay.bit")
    with pytest.raises(ValueError, match="a packet of 3 words: the engine takes whole ones"):
        bus.send([1, 2, 3], False)
    overlay: Any = sys.modules["pynq"].Overlay("")
    channel = overlay.dma.recvchannel
    channel.idle = False
    board = Accelerator(bus, DESIGN)
    channel.idle = False
    original = bus.receive

    def polling(count: int) -> Any:
        if bus._listening and not channel.idle:
            channel.poll()
        return original(count)

    bus.receive = polling  # type: ignore[method-assign]
    board.load(image)
    hidden = board.run(given).hidden
    assert np.array_equal(hidden, IntegerModel(MODEL).run([given])[0].hidden)


def test_pynq_finds_several_accelerators_in_an_overlay_that_is_loaded(
    zynq: EmulatedAccelerator,
) -> None:
    pynq: Any = sys.modules["pynq"]
    overlay = pynq.Overlay("")
    loaded: list[object] = []
    other = SimpleNamespace(mmio=SimpleNamespace(read=lambda address: 7, write=None))
    both = SimpleNamespace(
        first=overlay.accelerator, second=other, one=overlay.dma, two=overlay.dma
    )
    pynq.Overlay = loaded.append
    assert PynqBus(both, "first", "one").read(0) == [zynq.read(0)]
    assert PynqBus(both, "second", "two").read(0, 2) == [7, 7]
    assert loaded == []  # a second download would reset the first


def test_pynq_is_only_on_the_board() -> None:
    with pytest.raises(RuntimeError, match="pynq is not installed: run this on the board"):
        Accelerator.open("pynq:overlay.bit", DESIGN)


def same(board: Accelerator, model: Model, given: IntArray) -> bool:
    """Whether a sequence, once whole and once in two calls, gives what the model says."""
    got, (wanted,) = board.run(given), IntegerModel(model).run([given])
    names = ("hidden", "cell", "output")
    if model.directions == 1:
        first, rest = board.run(given[:2]), board.run(given[2:], keep=True)
        assert np.array_equal(np.concatenate([first.hidden, rest.hidden]), wanted.hidden)
        assert np.array_equal(rest.cell, wanted.cell[2:])
    return all(np.array_equal(getattr(got, name), getattr(wanted, name)) for name in names)


# stacked, projected, both; two directions, also projected
NETWORKS = [(2, 1, 0), (1, 1, 4), (2, 1, 4), (2, 2, 0), (2, 2, 4)]
TARGETS = ["model", pytest.param("sim", marks=pytest.mark.slow)]


@pytest.mark.parametrize(("layers", "directions", "projection"), NETWORKS)
@pytest.mark.parametrize("target", TARGETS)
def test_networks_of_every_kind(target: str, layers: int, directions: int, projection: int) -> None:
    model = random_network(
        RNG(3), 6, 6, (2, 2, 2), (1, 1, 1), layers, directions, projection, 12, 12
    )
    design, given = design_for(model, 4, 2), frames(model, 5)
    with Accelerator.open(target, design) as board:
        board.load(model)
        assert same(board, model, given)
        if directions == 2:
            with pytest.raises(ValueError, match="keep=True needs a state"):
                board.run(given, keep=True)


def compact(model: Model, pes: int = 4, lanes: int = 2) -> Design:
    """As an iCEBreaker has it: narrow matrix memories, lanes of several steps."""
    return design_for(model, pes, lanes, **board_named("icebreaker").options)


@pytest.mark.parametrize("target", TARGETS)
def test_two_networks_in_turn_on_a_compact_design(target: str) -> None:
    sizes: dict[str, Any] = {"banks": 2, "k_ih": 1, "value_bits": 8, "act_bits": 12}
    large = random_model(RNG(1), 4, 6, k_hh=2, **sizes)
    small = random_model(RNG(1), 3, 4, k_hh=1, **sizes)
    design = compact(large)
    assert design.pieces > 1
    with Accelerator.open(target, design) as board:
        for model in (large, small, large):
            board.load(model)
            board.clear_counters()
            assert same(board, model, frames(model, 4))
            counted = board.counters()
            assert counted["frames_out"] == 8
            assert set(counted) == ({"frames_out"} if target == "model" else {*COMPACT_COUNTERS})
            # 0 would be read as a count
            for ask in (counted.__getitem__, board.register):
                with pytest.raises(AcceleratorError, match=r"no counter 'frames_in': .*frames_out"):
                    ask("frames_in")
        with pytest.raises(WrongModelError, match="does not fit this bitstream"):
            board.load(random_model(RNG(1), 4, 64, k_hh=2, **sizes))
        with pytest.raises(WrongModelError, match="its products by 3 bits, the design by up to 2"):
            board.load(random_model(RNG(2), 3, 4, k_hh=1, **sizes))
        assert same(board, large, frames(large, 3))


def test_the_array_of_an_icebreaker() -> None:
    """The board's own array with the layer of its bitstream, whose words are of two pieces."""
    layer = random_model(RNG(0), 12, 128, 8, 1, 2, value_bits=8, act_bits=12)
    array = board_named("icebreaker").array
    design = compact(layer, array["pes"], array["lanes"])
    assert (design.multipliers, design.compact, design.pieces) == (8, True, 2)
    with Accelerator.open("model", design) as board:
        board.load(layer)
        assert same(board, layer, frames(layer, 3))


@pytest.mark.parametrize(
    ("register", "fields", "match"),
    [
        ("magic", {"magic": 7}, "no Sparseflow at the other end: check port and bitstream"),
        (
            "version",
            {"major": 9},
            rf"of version 9\.0, this driver's {OURS}: take both",
        ),
        ("buses", {"input_bits": 64, "output_bits": 32}, "its streams have 64 and 32 bits, this"),
    ],
)
def test_something_else_at_the_other_end(register: str, fields: dict[str, int], match: str) -> None:
    line = EmulatedLine(DESIGN)
    declared = REGISTERS[register]
    line.accelerator._values[declared.address] = declared.encode(**fields)
    with pytest.raises(AcceleratorError, match=match):
        Accelerator.on(line, DESIGN)


def test_a_link_of_another_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boards.host.emulator.VERSION", 9)
    with pytest.raises(LinkError, match="the board speaks version 9 of the link, this driver 1: "):
        Accelerator.open("model", DESIGN)


def test_words_that_belong_to_no_image_do_not_run() -> None:
    line = EmulatedLine(DESIGN)
    board = Accelerator.on(line, DESIGN)
    board.load(MODEL)
    image = compile_model(MODEL, DESIGN)
    words = image.load_words()
    words[3] ^= 1
    for word in words:
        line.accelerator.write(0x48, word)
    board.reset()
    with pytest.raises(AcceleratorError, match="the program does not run"):
        board.run(frames(MODEL, 1))


def test_a_packet_for_no_memory_is_an_error() -> None:
    line = EmulatedLine(DESIGN)
    for word in (header(Space.MATRIX, 99), 1, 0, 0):
        line.accelerator.write(0x48, word)
    board = Accelerator.on(line, DESIGN)
    assert board.register("errors")["load"] == 1
    assert board.register("status")["stopped"] == 1


def test_a_simulation_that_does_not_start(tmp_path: Path) -> None:
    files = emit_link(DESIGN, tmp_path / "verilog")
    with pytest.raises(SimulationError, match=r"did not start: simulator 'none': choose one of"):
        SimulatedLine(files, tmp_path, simulator="none")


def test_a_simulation_that_was_closed(tmp_path: Path) -> None:
    line = SimulatedLine(emit_link(DESIGN, tmp_path / "verilog"), tmp_path, simulator="icarus")
    assert Accelerator.on(line, DESIGN).register("status")["halted"] == 1
    line.close()
    line.close()
    with pytest.raises(SimulationError, match="the simulation is closed: open it again"):
        line.read(1)
