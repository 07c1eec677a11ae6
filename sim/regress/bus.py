"""A case on the accelerator's AXI ports: errors on the buses first, then a clean job."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from hdl.axi_lite import SLVERR
from hdl.registers import PACKET, PACKET_MAGIC, REGISTERS

from ..axi import AxiOutcome, AxiScript, frame_packets, outcome_of, simulate_axi
from ..compare import compare
from ..integer_model import IntegerModel
from ..scenario import SimulationError
from ..stimulus import Stimulus
from ..streams import Pauses
from .hardware import Hardware

__all__ = ["run_bus"]

BITS = 64  # of both streams, as an accelerator has by default
NOWHERE = 0xFFC
UNKNOWN_SPACE = 0xF0000000


def run_bus(hardware: Hardware, work: Path) -> tuple[dict[str, Any], str]:
    """Refused accesses, a bad load packet and a bad frame packet, each followed by recovery.

    Parameters
    ----------
    hardware : Hardware
        Of kind ``bus`` and one program.
    work : Path

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
    packets = frame_packets(given, BITS)
    pauses = Pauses(max(case.idle, case.stall), case.seed)
    script = AxiScript(BITS, BITS, pauses)
    script.read_at(NOWHERE).write("status", 1)
    _provoke(script, hardware, packets)
    _clean(script, hardware, packets, len(given.frames))
    files = hardware.verilog(work)
    found = simulate_axi(files, script, work, simulator=case.simulator, timeout=case.timeout)
    return _judge(hardware, given, found)


def _provoke(script: AxiScript, hardware: Hardware, packets: list[list[int]]) -> None:
    """A load packet for no memory, then a frame packet without its magic number."""
    script.load([UNKNOWN_SPACE, 1, 7]).wait("errors", load=1)
    script.write("errors", 0xFFFFFFFF).write("control", soft_reset=1)
    script.start_model(hardware.image)
    head = PACKET.encode(magic=PACKET_MAGIC ^ 1, first=1)
    script.send([head, *packets[0][1:]]).sent().wait("errors", header=1)
    script.write("errors", 0xFFFFFFFF).write("control", soft_reset=1)


def _clean(script: AxiScript, hardware: Hardware, packets: list[list[int]], frames: int) -> None:
    script.start_model(hardware.image)
    for packet in packets:
        script.send(packet)
    script.receive(frames).read("errors")


def _judge(hardware: Hardware, given: Stimulus, found: AxiOutcome) -> tuple[dict[str, Any], str]:
    levels = IntegerModel(hardware.model).run_levels(hardware.frames())
    got = compare(given, outcome_of(hardware.image, found.packets, BITS), levels)
    digest = hashlib.sha256(str(found.packets).encode()).hexdigest()
    wrong = [str(got.first)] if got.first else []
    refused = [found.results[0][0], found.results[1]]
    if refused != [SLVERR, SLVERR]:
        wrong.append(f"refused accesses were answered with {refused}, should be {SLVERR}")
    if found.results[-1][1]:
        names = REGISTERS["errors"].decode(found.results[-1][1])
        wrong.append(f"errors after a clean job: {names}")
    figures = {
        "mismatches": got.mismatches,
        "values": got.values,
        "frames": len(given.frames),
        "total_cycles": found.cycles,
        "interrupts": found.irqs,
        "outputs": digest,
    }
    return figures, "; ".join(wrong)
