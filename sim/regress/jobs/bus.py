"""A case on the accelerator's AXI ports: errors on the buses first, then a clean job."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

from compiler.abi.frames import frame_packets
from compiler.abi.registers import PACKET, PACKET_MAGIC, REGISTERS
from compiler.abi.states import outcome_of
from engine.reference import IntegerModel
from hdl.bus.axi_lite import SLVERR

from ...bus.axi import AxiOutcome, AxiScript, simulate_axi
from ...check.compare import Comparison, compare
from ...run.errors import SimulationError
from ...run.streams import Pauses
from ..suite.hardware import Hardware

__all__ = ["SLOWER", "run_bus"]

BITS = 64  # of both streams, as an accelerator has by default
NOWHERE = 0xFFC
ABORTED = 60  # cycles after which a job is given up; its first results are on their way then
SLOWER = 10  # times a case's limit that a run with waveforms may take
UNKNOWN_SPACE = 0xF0000000


def run_bus(
    hardware: Hardware, work: Path, waves: str = "", seconds: float = 0.0
) -> tuple[dict[str, Any], str]:
    """Refused accesses, bad packets, a job that is given up; clean jobs after the recovery.

    With ``reload``, another model runs before and after the case's own, loaded between them
    without a reset.

    Parameters
    ----------
    hardware : Hardware
        Of kind ``bus`` and one program.
    work : Path
    waves : str
        Simulator that writes all signals to an FST file in ``work``; none by default.
    seconds : float
        That the simulator may take; the case's limit by default.

    Returns
    -------
    figures : dict
    wrong : str
        What is not as it should be; empty if nothing.

    Raises
    ------
    SimulationError
        If a step does not end, or a rule of the buses is broken.
    """
    case, (given,) = hardware.case, hardware.stimuli()
    if case.simulator == "verilator-free":
        raise SimulationError("the bus masters need cocotb: choose icarus or verilator")
    script = AxiScript(BITS, BITS, Pauses(max(case.idle, case.stall), case.seed))
    script.read_at(NOWHERE).write("status", 1)
    _provoke(script, hardware, frame_packets(given, BITS))
    chosen = [hardware.other(), hardware, hardware.other()] if case.reload else [hardware]
    clean = [(each, _clean(script, each)) for each in chosen]
    files = hardware.verilog(work)
    simulator, seconds = waves or case.simulator, seconds or case.timeout
    found = simulate_axi(
        files, script, work, simulator=simulator, timeout=seconds, waves=bool(waves),
        builds=hardware.builds,
    )  # fmt: skip
    return _judge(clean, found)


def _provoke(script: AxiScript, hardware: Hardware, packets: list[list[int]]) -> None:
    """A load packet for no memory, a frame packet without its magic number, half a job."""
    script.load([UNKNOWN_SPACE, 1, 7]).wait("errors", load=1)
    script.write("errors", 0xFFFFFFFF).write("control", soft_reset=1)
    script.start_model(hardware.image)
    head = PACKET.encode(magic=PACKET_MAGIC ^ 1, first=1)
    script.send([head, *packets[0][1:]]).sent().wait("errors", header=1)
    script.write("errors", 0xFFFFFFFF).write("control", soft_reset=1)
    script.start_model(hardware.image).send(packets[0]).idle(ABORTED)
    # nothing of it may be left for the next job
    script.write("control", soft_reset=1).sent().idle(ABORTED).drain()


def _clean(script: AxiScript, hardware: Hardware) -> int:
    """Load, run all frames, without a reset; the number of the step that has the results."""
    (given,) = hardware.stimuli()
    script.start_model(hardware.image)
    for packet in frame_packets(given, BITS):
        script.send(packet)
    script.receive(len(given.frames)).read("errors")
    return len(script.steps) - 2


def _judge(clean: list[tuple[Hardware, int]], found: AxiOutcome) -> tuple[dict[str, Any], str]:
    """All clean jobs against the integer model, and what was refused and reported."""
    wrong, digest, figures = [], hashlib.sha256(), Counter[str]()
    for hardware, step in clean:
        got = _compared(hardware, found.results[step])
        wrong += [str(got.first)] if got.first else []
        digest.update(str(found.results[step]).encode())
        figures += Counter(mismatches=got.mismatches, values=got.values)
        figures["frames"] += sum(hardware.case.lengths)
        if found.results[step + 1][1]:
            names = REGISTERS["errors"].decode(found.results[step + 1][1])
            wrong.append(f"errors after a clean job: {names}")
    refused = [found.results[0][0], found.results[1]]
    if refused != [SLVERR, SLVERR]:
        wrong.append(f"refused accesses were answered with {refused}, should be {SLVERR}")
    more = {"total_cycles": found.cycles, "interrupts": found.irqs, "outputs": digest.hexdigest()}
    counts = {name: figures[name] for name in ("mismatches", "values", "frames")}
    return counts | more, "; ".join(wrong)


def _compared(hardware: Hardware, packets: list[list[int]]) -> Comparison:
    (given,) = hardware.stimuli()
    levels = IntegerModel(hardware.model).run_levels(hardware.frames())
    return compare(given, outcome_of(hardware.image, packets, BITS), levels)
