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

from boards.bus import LinkTimeoutError
from boards.driver import Accelerator, AcceleratorError
from boards.emulator import EmulatedAccelerator, EmulatedLine
from boards.lines import SerialLine
from boards.pynq import PynqBus
from boards.simulation import SimulatedLine, emit_link
from csb_format import IntArray, Model
from csb_format.design import Design
from hdl.compiler import compile_model
from hdl.loader import Space, header
from sim.integer_model import IntegerModel
from sim.random_models import random_frames, random_model, random_network
from sim.scenario import SimulationError

MODEL = random_model(np.random.default_rng(1), 6, 5, 2, 1, 2)
DESIGN = Design.for_model(MODEL, 4, 2)
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
        sparseflow_axi_0=SimpleNamespace(
            mmio=SimpleNamespace(read=accelerator.read, write=accelerator.write)
        ),
        axi_dma_in=SimpleNamespace(sendchannel=Channel(accelerator)),
        axi_dma_out=SimpleNamespace(recvchannel=Receiving(accelerator)),
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
    channel = overlay.axi_dma_out.recvchannel
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


def test_pynq_is_only_on_the_board() -> None:
    with pytest.raises(RuntimeError, match="pynq is not installed: run this on the board"):
        Accelerator.open("pynq:overlay.bit", DESIGN)


@pytest.mark.parametrize(("layers", "directions", "projection"), [(2, 1, 0), (1, 1, 4), (2, 2, 0)])
@pytest.mark.parametrize("target", ["model", pytest.param("sim", marks=pytest.mark.slow)])
def test_networks_of_every_kind(target: str, layers: int, directions: int, projection: int) -> None:
    model = random_network(
        RNG(3), 6, 6, (2, 2, 2), (1, 1, 1), layers, directions, projection, 12, 12
    )
    design, given = Design.for_model(model, 4, 2), frames(model, 5)
    with Accelerator.open(target, design) as board:
        board.load(model)
        got, (wanted,) = board.run(given), IntegerModel(model).run([given])
        for name in ("hidden", "cell", "output"):
            assert np.array_equal(getattr(got, name), getattr(wanted, name))
        if directions == 2:
            with pytest.raises(ValueError, match="keep=True needs a state"):
                board.run(given, keep=True)


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
