"""The accelerator on its buses: cocotbext-axi masters with random stalls on every channel."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compiler.abi.frames import Stimulus, frame_packets
from compiler.abi.identity import AXI_MODULE, identity
from compiler.abi.register_text import HEADER_FILE, c_header
from compiler.abi.registers import COUNTERS, MAGIC, PACKET, PACKET_MAGIC, REGISTERS
from compiler.abi.states import outcome_of
from compiler.array.needs import design_for
from compiler.array.program import Instruction
from compiler.lower.load import Space, header
from csb_format.random_models import random_network
from hdl.bus.accelerator import Accelerator
from hdl.verilog import LINT_WAIVERS, VerilogFiles, emit_verilog
from sim.bus.axi import AxiOutcome, AxiScript, simulate_axi
from sim.run.processes import environment
from sim.run.streams import Pauses

OKAY, SLVERR = 0, 2
IN_BITS, OUT_BITS = 32, 64
Run = Callable[[AxiScript], AxiOutcome]


def small(make_case: Any, seed: int = 1) -> Any:
    """4 x 2 multipliers, 5 units."""
    return make_case(seed, (6, 5, 2, 1, 2), (4, 2), (3, 2))


@pytest.fixture(scope="module")
def axi_case(make_case: Any) -> Any:
    return small(make_case)


@pytest.fixture(scope="module")
def axi_files(axi_case: Any, tmp_path_factory: pytest.TempPathFactory) -> VerilogFiles:
    def top(*arguments: Any) -> Accelerator:
        return Accelerator(*arguments, in_bits=IN_BITS, out_bits=OUT_BITS)

    folder = tmp_path_factory.mktemp("axi") / "v"
    return emit_verilog(axi_case.image.design, folder, top=top, name=AXI_MODULE)


@pytest.fixture(params=["icarus", pytest.param("verilator", marks=pytest.mark.slow)])
def run(request: pytest.FixtureRequest, axi_files: VerilogFiles, work: Path) -> Run:
    simulator = request.param
    return lambda script: simulate_axi(axi_files, script, work, simulator=simulator, timeout=400)


def script(share: float = 0.0, seed: int = 0) -> AxiScript:
    return AxiScript(IN_BITS, OUT_BITS, Pauses(share, seed))


def send(into: AxiScript, case: Any) -> AxiScript:
    for packet in frame_packets(Stimulus.of(case.image, case.sequences), IN_BITS):
        into.send(packet)
    return into


def frames_of(case: Any) -> int:
    return sum(map(len, case.sequences))


def clean_job(into: AxiScript, case: Any) -> AxiScript:
    """Load, stream, receive; the last result but one is the packets, the last ``errors``."""
    into.start_model(case.image).write("errors", 0xFFFFFFFF)
    return send(into, case).receive(frames_of(case)).read("errors")


def assert_exact(case: Any, packets: list[list[int]]) -> None:
    comparison = case.compare(outcome_of(case.image, packets, OUT_BITS))
    assert comparison.mismatches == 0, comparison.first
    assert any(any(packet) for packet in packets)


def words(job: AxiScript, outcome: AxiOutcome) -> list[int]:
    """What reads gave, the response checked."""
    steps = zip(job.steps, outcome.results, strict=True)
    reads = [result for step, result in steps if step["kind"] == "read"]
    assert all(response == OKAY for response, _ in reads)
    return [word for _, word in reads]


@pytest.mark.parametrize("share", [pytest.param(0.0, marks=pytest.mark.slow), 0.4])
def test_a_job_is_bit_exact_under_stalls_on_every_channel(
    run: Run, axi_case: Any, share: float
) -> None:
    job = script(share, seed=7).read("magic").read("status")
    job.write("irq_enable", frame=1).write("control", clear_counters=1)
    clean_job(job, axi_case).wait("status", busy=0)
    what = identity(axi_case.image.design, IN_BITS, OUT_BITS)
    for name in (*COUNTERS, *what):
        job.read(name)
    outcome = run(job)
    assert_exact(axi_case, outcome.packets)
    magic, status, errors, *others = words(job, outcome)
    counters, told = others[: len(COUNTERS)], others[len(COUNTERS) :]
    assert told == [REGISTERS[name].encode(**fields) for name, fields in what.items()]
    assert what["array"] == {"pes": 4, "lanes": 2}
    assert magic == MAGIC
    assert REGISTERS["status"].decode(status)["halted"] == 1
    assert errors == 0
    assert outcome.irqs == 1  # a level, until it is cleared
    counts = dict(zip(COUNTERS, counters, strict=True))
    frames = frames_of(axi_case)
    part = axi_case.image.parts[0]
    assert counts["frames_in"] == counts["frames_out"] == frames
    assert counts["cycles"] > counts["busy_cycles"] > frames * part.frame_beats
    assert counts["issued"] % frames == 0
    assert counts["issued"] > 0
    assert (counts["output_stalls"] > 0) == (share > 0)


def errors_of(**fields: int) -> int:
    return REGISTERS["errors"].encode(**fields)


def recovered(job: AxiScript, case: Any) -> AxiScript:
    """What a driver does after any error, then a clean job."""
    return clean_job(job.write("control", soft_reset=1), case)


def test_refused_accesses_leave_the_job_alone(run: Run, axi_case: Any) -> None:
    """Bad addresses and writes while busy, in the middle of a job."""
    packets = frame_packets(Stimulus.of(axi_case.image, axi_case.sequences), IN_BITS)
    job = script(0.3, seed=1).start_model(axi_case.image)
    job.read_at(0xFFC).write_at(0x204, 1).write("status", 1)
    job.send(packets[0]).wait("status", busy=1)
    job.write("load", header(Space.MATRIX)).write("start", 0).write("frame", 9)
    job.write_at(REGISTERS["load"].address, 5, size=2).read("errors").read("rejected")
    job.send(packets[1]).receive(frames_of(axi_case))
    outcome = run(job)
    assert_exact(axi_case, outcome.packets)
    at = next(i for i, step in enumerate(job.steps) if step.get("address") == 0xFFC)
    results = outcome.results
    assert results[at][0] == SLVERR
    assert results[at + 1 : at + 3] == [SLVERR, SLVERR]
    assert results[at + 5 : at + 9] == [SLVERR] * 4
    expected = errors_of(bad_address=1, read_only=1, busy=1, partial=1)
    assert results[at + 9] == [OKAY, expected]
    assert results[at + 10] == [OKAY, REGISTERS["load"].address | 1 << 16]


@pytest.mark.slow
def test_after_each_error_the_next_job_runs_clean(run: Run, axi_case: Any) -> None:
    """One after the other on the same hardware, each with its cause."""
    case, job = axi_case, script(0.3, seed=3)
    packet = frame_packets(Stimulus.of(case.image, case.sequences), IN_BITS)[0]
    no_header = PACKET.encode(magic=PACKET_MAGIC ^ 1, first=1)
    no_context = PACKET.encode(magic=PACKET_MAGIC, first=1, context=1)
    expected = []
    job.write("irq_enable", error=1)

    def provoked(**fields: int) -> None:
        job.read("errors").wait_irq().write("errors", 0xFFFFFFFF)
        job.write("irq_status", 0xFFFFFFFF)
        recovered(job, case)
        expected.extend([errors_of(**fields), 0])

    job.load([header(Space.MATRIX, 4), 1, 7]).wait("status", fault=1)
    provoked(load=1)
    job.load([0xF0000000, 2, 7, 8]).wait("status", fault=1)
    provoked(load=1)
    job.load(program(case, Instruction().encode(case.image.design) | 3)).wait("status", fault=1)
    job.send(packet).sent()  # thrown away, so that the source does not hang
    provoked(program=1)
    job.write("start", address=case.image.design.program_depth)
    provoked(value=1)
    for head in (no_header, no_context):
        job.send([head, *packet[1:]]).send([head]).sent()
        provoked(header=1)
    job.write("frame", beats=0).send(packet).sent()
    provoked(header=1)
    # tlast within the second frame: it is completed, and both are put out
    frame = (len(packet) - 1) // len(case.sequences[0])
    job.send(packet[: 2 * frame]).receive(2)
    provoked(short=1)
    job.send([packet[0]]).sent()
    provoked(short=1)
    # a program that takes frames and does nothing with them
    job.write("timeout", cycles=60).load(endless_program(case)).send(packet).sent()
    job.wait("errors", timeout=1)
    provoked(timeout=1)
    outcome = run(job)
    assert words(job, outcome) == expected
    frames = frames_of(case)
    jobs = [
        result
        for step, result in zip(job.steps, outcome.results, strict=True)
        if step["kind"] == "receive" and step["packets"] == frames
    ]
    assert len(jobs) == len(expected) // 2
    for packets in jobs:
        assert_exact(case, packets)


def program(case: Any, word: int, address: int = 0) -> list[int]:
    """Packets that write one instruction and start it."""
    chunks = -(-case.image.width("program") // 32)
    parts = [word >> 32 * i & 0xFFFFFFFF for i in range(chunks)]
    return [header(Space.PROGRAM, 0, address), 1, *parts, header(Space.START, 0, address)]


def setup_then(case: Any, following: int, address: int) -> list[int]:
    """A program whose only instruction tells the length of frames and goes on elsewhere."""
    design, entry = case.image.design, case.image.parts[0].entry
    setup = Instruction.decode(case.image.memories["program"][entry], design)
    return program(case, replace(setup, next=following).encode(design), address)


def endless_program(case: Any) -> list[int]:
    last = case.image.design.program_depth - 1
    return setup_then(case, last, last)


def test_a_program_that_runs_out_of_its_instructions_halts(run: Run, axi_case: Any) -> None:
    """Into memory that nobody wrote; the interrupt tells, and a new start runs."""
    last = axi_case.image.design.program_depth - 1
    job = script(0.2, seed=5).write("frame", beats=axi_case.image.parts[0].frame_beats)
    job.idle(30).write("irq_status", 0xFFFFFFFF).write("irq_enable", halted=1)
    job.load(setup_then(axi_case, last, 0)).wait_irq().wait("status", settling=0)
    job.read("status").read("irq_status")
    clean_job(job, axi_case)
    outcome = run(job)
    status, events, errors = words(job, outcome)
    assert REGISTERS["status"].decode(status)["halted"] == 1
    assert REGISTERS["irq_status"].decode(events)["halted"] == 1
    assert errors == 0
    assert_exact(axi_case, outcome.results[-2])


@pytest.mark.parametrize("delay", [pytest.param(0, marks=pytest.mark.slow), 25])
def test_a_reset_in_the_middle_of_a_job(run: Run, axi_case: Any, delay: int) -> None:
    """Packets half in and half out; whatever the sink got ends with ``tlast``."""
    packets = frame_packets(Stimulus.of(axi_case.image, axi_case.sequences), IN_BITS)
    job = script(0.3, seed=9).start_model(axi_case.image)
    for packet in packets:
        job.send(packet)
    job.receive(1).idle(delay).write("control", soft_reset=1).sent().wait("status", busy=0)
    job.idle(300).drain()
    drained = len(job.steps) - 1
    clean_job(job, axi_case)
    outcome = run(job)
    whole = frames_of(axi_case)
    assert len(outcome.results[drained]) < whole - 1
    assert words(job, outcome)[-1] == 0
    assert_exact(axi_case, outcome.results[-2])


@pytest.mark.slow
def test_other_bus_widths(make_case: Any, tmp_path: Path) -> None:
    case = small(make_case, seed=2)

    def top(*arguments: Any) -> Accelerator:
        return Accelerator(*arguments, in_bits=128, out_bits=32)

    files = emit_verilog(case.image.design, tmp_path / "v", top=top, name=AXI_MODULE)
    job = AxiScript(128, 32, Pauses(0.2, 4)).start_model(case.image)
    for packet in frame_packets(Stimulus.of(case.image, case.sequences), 128):
        job.send(packet)
    outcome = simulate_axi(files, job.receive(frames_of(case)), tmp_path, simulator="icarus")
    comparison = case.compare(outcome_of(case.image, outcome.packets, 32))
    assert comparison.mismatches == 0


@pytest.mark.slow
def test_a_deep_design(make_network: Any, tmp_path: Path) -> None:
    case = make_network(5, (4, 2), (3, 2), options={"deep": True}, layers=1)

    def top(*arguments: Any) -> Accelerator:
        return Accelerator(*arguments, in_bits=IN_BITS, out_bits=OUT_BITS)

    files = emit_verilog(case.image.design, tmp_path / "v", top=top, name=AXI_MODULE)
    job = clean_job(script(0.3, seed=2).write("control", clear_counters=1), case)
    job.wait("status", busy=0).read("frames_in").read("frames_out")
    outcome = simulate_axi(files, job, tmp_path, simulator="icarus", timeout=400)
    assert_exact(case, outcome.packets)
    errors, *counted = words(job, outcome)
    assert (errors, counted) == (0, [frames_of(case)] * 2)


@pytest.mark.slow
def test_memories_from_images_run_without_loading(axi_case: Any, tmp_path: Path) -> None:
    image = axi_case.image
    files = emit_verilog(image.design, tmp_path / "v", image, top=Accelerator, name=AXI_MODULE)
    job = AxiScript(64, 64).write("frame", beats=image.parts[0].frame_beats)
    job.write("start", address=image.parts[0].entry)
    for packet in frame_packets(Stimulus.of(image, axi_case.sequences), 64):
        job.send(packet)
    outcome = simulate_axi(files, job.receive(frames_of(axi_case)), tmp_path, simulator="icarus")
    assert axi_case.compare(outcome_of(image, outcome.packets, 64)).mismatches == 0


def lint(files: VerilogFiles, *options: str) -> subprocess.CompletedProcess[str]:
    tools = environment()
    command = str(shutil.which("verilator", path=tools["PATH"]))
    command_line = [command, "--lint-only", "-Wall", "--top-module", files.top, *options]
    paths = [str(path) for path in files.paths]
    return subprocess.run([*command_line, *paths], capture_output=True, text=True, env=tools)


def test_verilator_finds_nothing_but_what_is_waived(axi_files: VerilogFiles) -> None:
    waivers = str(axi_files.folder / LINT_WAIVERS)
    result = lint(axi_files, waivers)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "Warning" not in result.stderr


@pytest.mark.slow
def test_nor_in_one_that_checks_and_walks(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    model = random_network(rng, 12, 16, 4, (1, 1, 1), layers=2, projection=8, head=3)
    design = design_for(model, 4, 4, head=True, checked=True, walk=True)
    files = emit_verilog(design, tmp_path / "v", top=Accelerator, name=AXI_MODULE)
    assert "Warning" not in lint(files, str(files.folder / LINT_WAIVERS)).stderr


def test_every_waiver_has_its_reason_and_its_use(axi_files: VerilogFiles) -> None:
    text = (axi_files.folder / LINT_WAIVERS).read_text()
    blocks = text.split("\n\n")[1:]
    assert all(block.startswith("//") for block in blocks)
    rules = [line.split()[2] for line in text.splitlines() if line.startswith("lint_off")]
    assert len(rules) == len(set(rules))
    found = lint(axi_files).stderr
    assert [rule for rule in rules if f"Warning-{rule}" not in found] == []


def test_the_c_header_lies_beside(axi_files: VerilogFiles) -> None:
    assert (axi_files.folder / HEADER_FILE).read_text() == c_header()
