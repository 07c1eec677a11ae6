"""The driver on every target that needs no board; the same tests on each."""

from __future__ import annotations

import json
import os
import select
import subprocess
import threading
import tty
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boards.host.bus import DamagedFrameError, LinkBus, LinkError, LinkTimeoutError, RefusedError
from boards.host.driver import Accelerator, AcceleratorError, States, WrongModelError
from boards.host.emulator import EmulatedLine
from boards.host.job import Job, answers, job_of
from boards.host.lines import Line
from boards.host.states import logits
from boards.host.stream import Stream
from boards.link.protocol import BUS_BITS, FLAG
from boards.link.simulation import CLOCK_HZ, SimulatedLine, emit_link
from compiler.abi.design_file import read_design
from compiler.abi.identity import counters_of
from compiler.abi.registers import REGISTERS
from compiler.abi.states import outcome_of
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.load import WORD, Space, header, space_widths
from csb_format import IntArray, Model, load_model, save_model
from csb_format.random_models import random_frames, random_model, random_network
from engine.reference import IntegerModel

LARGE = random_model(np.random.default_rng(1), 6, 5, 2, 1, 2, head=3)
SMALL = random_model(np.random.default_rng(7), 3, 4, 2, 1, 1)
DESIGN = design_for(LARGE, 4, 2, contexts=2, head=True)
WORDS = -(-space_widths(DESIGN)[Space.MATRIX] // WORD)  # on the bus, of one in that memory
Fault = Callable[[bytes], bytes]


class FaultyLine:
    """A line that damages what passes once."""

    def __init__(self, line: Line):
        self.line = line
        self.request: Fault | None = None
        self.answer: Fault | None = None

    def write(self, data: bytes) -> None:
        fault, self.request = self.request, None
        self.line.write(fault(data) if fault else data)

    def read(self, timeout: float) -> bytes:
        data = self.line.read(timeout)
        fault, self.answer = self.answer, None
        return fault(data) if fault else data

    @property
    def counted(self) -> tuple[str, ...]:
        one = self.line
        return one.counted if isinstance(one, EmulatedLine) else counters_of(DESIGN)

    def know(self, image: Any) -> None:
        if isinstance(self.line, EmulatedLine):
            self.line.know(image)

    def close(self) -> None:
        self.line.close()


@pytest.fixture(scope="session", params=["model", "sim"])
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Line]:
    """A board that stays on for all tests, whatever the one before did to it."""
    folder = tmp_path_factory.mktemp("link")
    line: Line
    if request.param == "model":
        line = EmulatedLine(DESIGN)
    else:
        line = SimulatedLine(emit_link(DESIGN, folder / "verilog"), folder)
    yield line
    line.close()


@pytest.fixture
def line(target: Line) -> FaultyLine:
    return FaultyLine(target)


def connect(line: FaultyLine, retries: int = 0) -> Accelerator:
    """A driver that is told of images where the target has to be."""
    return Accelerator(LinkBus(line, retries=retries), DESIGN, line)


def frames(model: Model, length: int, seed: int = 3) -> IntArray:
    return random_frames(np.random.default_rng(seed), model, [length])[0]


def expected(model: Model, given: IntArray) -> States:
    (trace,) = IntegerModel(model).run([given])
    head = model.head.logits(trace.output) if model.head else None
    return States(trace.hidden, trace.cell, trace.output, head)


def same(got: States, wanted: States) -> bool:
    names = ("hidden", "cell", "output")
    return all(np.array_equal(getattr(got, n), getattr(wanted, n)) for n in names)


def test_a_sequence_is_bit_exact_and_counted(line: FaultyLine) -> None:
    board, given = connect(line), frames(LARGE, 4)
    board.load(LARGE, head=True)
    board.clear_counters()
    got, wanted = board.run(given), expected(LARGE, given)
    assert same(got, wanted)
    assert got.linear is not None
    assert wanted.linear is not None
    assert np.array_equal(got.linear, wanted.linear)
    each = replace(LARGE, pool="every")
    assert np.array_equal(logits(each, got), wanted.linear)
    assert np.array_equal(logits(each, replace(got, linear=None)), wanted.linear)
    assert np.array_equal(logits(LARGE, got), wanted.linear[-1])
    counters = board.counters()
    assert (counters["frames_in"], counters["frames_out"]) == (4, 4)


def test_state_is_kept_between_calls_and_apart_from_other_contexts(line: FaultyLine) -> None:
    board, given, other = connect(line), frames(LARGE, 4), frames(LARGE, 2, seed=4)
    board.load(LARGE)
    first = board.run(given[:1], context=1)
    assert same(board.run(other), expected(LARGE, other))
    rest = board.run(given[1:], keep=True, context=1)
    hidden = np.concatenate([first.hidden, rest.hidden])
    assert np.array_equal(hidden, expected(LARGE, given).hidden)
    assert same(board.run(given[:1]), expected(LARGE, given[:1]))  # from zero again


def test_streams_side_by_side_are_their_whole_sequences(line: FaultyLine) -> None:
    board, model = connect(line), replace(LARGE, pool="every")
    board.load(model)
    given = [frames(model, 4, seed) for seed in (3, 4)]
    wanted = [expected(model, sequence) for sequence in given]
    streams, head = [board.stream(context) for context in (0, 1)], model.head
    assert head is not None
    for at in range(4):
        for stream, sequence, whole in zip(streams, given, wanted, strict=True):
            # real numbers are those that training had
            frame = sequence[at] * 2.0 ** -model.layers[0].input.frac if at % 2 else sequence[at]
            got = stream.step(frame)
            assert np.array_equal(got.output[0], whole.output[at])
            assert np.array_equal(got.cell[0], whole.cell[at])
            assert whole.linear is not None
            assert np.array_equal(stream.numbers(got), whole.linear[at] * head.last_bit)
    streams[0].restart()
    assert same(streams[0].step(given[1]), wanted[1])  # several at once, from zero


def test_sequences_run_together_as_each_alone(line: FaultyLine) -> None:
    """More of them than contexts, of other lengths; a kept state is gone."""
    board, model = connect(line), replace(LARGE, pool="every")
    board.load(model, head=True)
    given = [frames(model, length, length) for length in (3, 1, 2)]
    board.run(given[0], context=1)
    for got, sequence in zip(board.run_together(given), given, strict=True):
        wanted = expected(model, sequence)
        assert same(got, wanted)
        assert wanted.linear is not None
        assert np.array_equal(logits(model, got), wanted.linear)
    with pytest.raises(ValueError, match="keep=True needs a state"):
        board.run(given[1], keep=True, context=1)
    with pytest.raises(ValueError, match="no sequences: give at least one"):
        board.run_together([])
    with pytest.raises(ValueError, match="frames have shape"):
        board.run_together([given[0], given[1][0]])


def test_what_is_no_stream_is_named(line: FaultyLine) -> None:
    board = connect(line)
    with pytest.raises(AcceleratorError, match="no model is loaded"):
        board.stream()
    board.load(replace(LARGE, pool="mean"))
    with pytest.raises(ValueError, match="context 2: the bitstream keeps 2"):
        board.stream(2)
    stream = board.stream()
    with pytest.raises(ValueError, match="the frame holds NaN or infinity: leave it out"):
        stream.step(np.full(6, np.nan))
    with pytest.raises(ValueError, match=r"frames have shape \(1, 5\): give \(T, 6\)"):
        stream.step(np.zeros(5))
    with pytest.raises(ValueError, match="the head takes the mean over all frames: keep"):
        stream.numbers(stream.step(np.zeros(6)))
    both = replace(LARGE, layers=LARGE.layers * 2, directions=2, head=None)
    with pytest.raises(ValueError, match="2 directions, and one of them begins at the last"):
        Stream(board.run, both)


def test_two_networks_in_turn_on_one_bitstream(line: FaultyLine) -> None:
    board = connect(line)
    for model in (LARGE, SMALL, LARGE):
        given = frames(model, 2)
        board.load(model)
        assert same(board.run(given), expected(model, given))


def test_a_model_for_another_bitstream(line: FaultyLine) -> None:
    other = design_for(LARGE, 8, 2)
    with pytest.raises(WrongModelError, match=r"hash 0x\w{8} \(4 x 2\), wanted .*\(8 x 2\)"):
        Accelerator(LinkBus(line), other)
    board, given = connect(line), frames(SMALL, 1)
    with pytest.raises(WrongModelError, match="geometry hash"):
        board.load(compile_model(LARGE, other))
    large = random_model(np.random.default_rng(1), 6, 40, 2, 1, 2)
    with pytest.raises(WrongModelError, match=r"does not fit this bitstream: .* needs"):
        board.load(large)
    board.load(SMALL)
    assert same(board.run(given), expected(SMALL, given))


def lose(at: int) -> Fault:
    return lambda data: data[:at] + data[at + 1 :]


def change(at: int) -> Fault:
    return lambda data: data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


def everything(data: bytes) -> bytes:
    return b""


FAULTS = [
    ("request", lose(9), DamagedFrameError, "SEND was damaged on its way to the board"),
    ("request", change(2), DamagedFrameError, "damaged on its way"),
    ("request", everything, LinkTimeoutError, "no answer to SEND within"),
    ("request", lambda data: data[:-1], LinkTimeoutError, "no answer to SEND"),
    ("answer", lose(2), DamagedFrameError, "the answer to SEND was damaged"),
    ("answer", change(3), DamagedFrameError, "check sequence 0x"),
    ("answer", everything, LinkTimeoutError, "no answer"),
]


@pytest.mark.parametrize(("side", "fault", "error", "match"), FAULTS)
def test_a_fault_on_the_line_is_told_and_forgotten(
    line: FaultyLine, side: str, fault: Fault, error: type[LinkError], match: str
) -> None:
    board, given = connect(line), frames(SMALL, 2)
    board.load(SMALL)
    setattr(line, side, fault)
    with pytest.raises(error, match=match):
        board.run(given)
    assert same(board.run(given), expected(SMALL, given))


@pytest.mark.parametrize(("side", "fault"), [fault[:2] for fault in FAULTS])
def test_a_retry_mends_it_and_nothing_happens_twice(
    line: FaultyLine, side: str, fault: Fault
) -> None:
    board, given = connect(line, retries=2), frames(SMALL, 3)
    board.load(SMALL)
    board.clear_counters()
    setattr(line, side, fault)
    assert same(board.run(given), expected(SMALL, given))
    assert board.counters()["frames_in"] == 3


def test_noise_between_requests_is_no_request(line: FaultyLine) -> None:
    board = connect(line, retries=2)  # the two pieces are answered as damaged requests
    line.line.write(bytes([1, 2, 3, FLAG, 4, FLAG]))
    assert board.register("magic")["magic"] == 0x5350464C


def test_a_driver_that_comes_later_is_in_step(line: FaultyLine) -> None:
    before = connect(line)
    after = connect(line)
    after.counters()
    after.register("status")
    with pytest.raises(LinkError, match="another program uses the line"):
        before.register("status")
    before.register("status")


def test_a_line_without_a_board(line: FaultyLine) -> None:
    class Nobody(FaultyLine):
        def read(self, timeout: float) -> bytes:
            return b""

        def write(self, data: bytes) -> None:
            pass

    with pytest.raises(LinkTimeoutError, match=r"no answer to HELLO .* asked 2 times"):
        LinkBus(Nobody(line), retries=1)


def test_a_refused_access_is_told(line: FaultyLine) -> None:
    bus = LinkBus(line)
    with pytest.raises(RefusedError, match=r"a read at 0x080 was refused at word 0 of 1"):
        bus.read(0x80)
    with pytest.raises(RefusedError, match=r"a write to 0x000 was refused"):
        bus.write(0, [1])
    with pytest.raises(RefusedError, match=r"a write to 0x044 was refused"):
        bus.write(REGISTERS["start"].address, [DESIGN.program_depth])
    errors = REGISTERS["errors"].decode(bus.read(REGISTERS["errors"].address)[0])
    assert (errors["bad_address"], errors["read_only"], errors["value"]) == (1, 1, 1)
    rejected = REGISTERS["rejected"].decode(bus.read(REGISTERS["rejected"].address)[0])
    assert (rejected["address"], rejected["write"]) == (0x44, 1)


@pytest.mark.parametrize(
    "words",
    [
        (header(Space.MATRIX, 99), 1, *[0] * WORDS),
        (header(Space.MATRIX, 0, DESIGN.matrix_depth), 1, *[0] * WORDS),
        (header(Space.MATRIX, 0, DESIGN.matrix_depth - 1), 2, *[0] * 2 * WORDS),
        (header(Space.START, 0, DESIGN.program_depth),),
    ],
    ids=["no such memory", "beyond it", "too long", "no such start"],
)
def test_words_that_have_no_place_are_told_and_mended(
    line: FaultyLine, words: tuple[int, ...]
) -> None:
    board, given = connect(line), frames(SMALL, 2)
    board.load(SMALL)
    LinkBus(line).write(REGISTERS["load"].address, words)
    board = connect(line)
    assert board.register("errors")["load"] == 1
    assert board.register("status")["stopped"] == 1
    board.load(SMALL)
    assert same(board.run(given), expected(SMALL, given))


def test_an_error_of_the_accelerator_is_told_and_mended(line: FaultyLine) -> None:
    board, given = connect(line), frames(SMALL, 2)
    board.load(SMALL)
    board.write("frame", beats=0)
    with pytest.raises(AcceleratorError, match=r"header: A packet on `s_axis`"):
        board.run(given)
    assert same(board.run(given), expected(SMALL, given))


def test_an_accelerator_that_does_nothing_is_told_and_mended(line: FaultyLine) -> None:
    board, given = connect(line), frames(SMALL, 2)
    board.load(SMALL)
    board.write("start", address=DESIGN.program_depth - 1)  # nothing is there: it halts
    board.timeout = 0.05
    with pytest.raises(AcceleratorError, match=r"nothing moved for 0\.05 s after 0 of \d+ words"):
        board.run(given)
    board.timeout = 10.0
    assert same(board.run(given), expected(SMALL, given))


def test_bad_calls_are_named(line: FaultyLine) -> None:
    board, given = connect(line), frames(SMALL, 2)
    with pytest.raises(AcceleratorError, match="no model is loaded"):
        board.run(given)
    board.load(SMALL)
    with pytest.raises(ValueError, match="keep=True needs a state"):
        board.run(given, keep=True)
    with pytest.raises(ValueError, match=r"shape \(2, 4\): give \(T, 3\)"):
        board.run(np.zeros((2, 4), np.int64))
    with pytest.raises(ValueError, match="float64: quantise"):
        board.run(given / 2)
    with pytest.raises(ValueError, match=r"context 2: the bitstream keeps 2"):
        board.run(given, context=2)
    with pytest.raises(ValueError, match="frames reach from"):
        board.run(given + (1 << 20))


def run_c(host: Path, line: FaultyLine, text: str) -> tuple[int, list[int], str]:
    """The host's program at one end of a terminal, the board at the other."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    command = [str(host), os.ttyname(theirs)]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, **pipes) as process:
        pump = threading.Thread(target=pass_on, args=(ours, line, process))
        pump.start()
        out, errors = process.communicate(text, timeout=120)
        pump.join()
    os.close(ours)
    os.close(theirs)
    return process.returncode, [int(word) for word in out.split()], errors


def pass_on(terminal: int, line: FaultyLine, process: subprocess.Popen[str]) -> None:
    """Bytes of whole requests to the board, its answers back."""
    pending = bytearray()
    while process.poll() is None:
        if not select.select([terminal], [], [], 0.02)[0]:
            continue
        pending += os.read(terminal, 4096)
        if len(pending) > 1 and pending[-1] == FLAG:
            line.write(bytes(pending))
            pending.clear()
            os.write(terminal, line.read(1.0))


@pytest.mark.parametrize(
    ("request_fault", "answer"), [(None, None), (None, lose(5)), (lose(3), None), (change(4), None)]
)
def test_the_c_driver_runs_a_job(
    line: FaultyLine, c_host: Path, request_fault: Fault | None, answer: Fault | None
) -> None:
    image, given = compile_model(SMALL, DESIGN), [frames(SMALL, n, n) for n in (2, 1)]
    line.know(image)
    job = job_of(image, given, 1_000_000)
    line.request, line.answer = request_fault, answer
    code, out, errors = run_c(c_host, line, job.text())
    assert (code, errors) == (0, f"board at {int(CLOCK_HZ)} Hz, 1000000 baud\n")
    assert out == answers(image, job)
    size = job.packets[0][1] // len(given[0])
    packets = [out[n : n + size] for n in range(0, len(out), size)]
    hidden, cell = outcome_of(image, packets, BUS_BITS).states(image)
    wanted = [expected(SMALL, each) for each in given]
    assert np.array_equal(hidden, np.concatenate([each.hidden for each in wanted]))
    assert np.array_equal(cell, np.concatenate([each.cell for each in wanted]))


def test_the_c_driver_refuses_a_model_of_another_bitstream(line: FaultyLine, c_host: Path) -> None:
    job = Job(1_000_000, design_hash=1, frame_beats=1, load=(0,), packets=(((0,), 1),))
    code, out, errors = run_c(c_host, line, job.text())
    assert (code, out) == (5, [])
    assert errors.endswith("result -6: docs/link.md says what it means\n")


@pytest.mark.parametrize("kind", ["model", pytest.param("sim", marks=pytest.mark.slow)])
def test_layers_of_several_reaches_through_a_model_file(kind: str, tmp_path: Path) -> None:
    """Packed, read again, loaded into a board that was generated for these ranges, and run."""
    rng, reaches = np.random.default_rng(3), (64, 8, 16)
    drawn = random_network(rng, 6, 6, 2, (1, 2, 1), 3, reach=reaches, head=3)
    save_model(tmp_path / "m.safetensors", drawn)
    model = load_model(tmp_path / "m.safetensors")
    assert [layer.arithmetic.reach for layer in model.layers] == list(reaches)
    design = design_for(model, 4, 2, head=True)
    (tmp_path / "design.json").write_text(json.dumps(asdict(design)))
    again = read_design(tmp_path)
    assert (again, again.reaches) == (design, (8, 16, 64))
    folder = tmp_path / "sim"
    target: Line = EmulatedLine(again)
    if kind == "sim":
        target = SimulatedLine(emit_link(again, folder / "verilog"), folder)
    with Accelerator.on(target, again) as board:
        board.load(model, head=True)
        given = frames(model, 5)
        assert same(board.run(given), expected(model, given))


def test_a_target_is_named_by_its_form() -> None:
    with pytest.raises(ValueError, match=r"target 'usb': give model, sim, serial:PORT"):
        Accelerator.open("usb", DESIGN)
    with Accelerator.open("model", DESIGN) as board:
        board.load(SMALL)
    with pytest.raises(WrongModelError, match="geometry hash"):
        Accelerator.on(EmulatedLine(DESIGN), replace(DESIGN, output_depth=99))
