"""The Verilog of tops whose screen unit reads planes from memory, and what is delivered with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from boards.build.ip import write_block
from boards.build.tops.tops import Top
from compiler.abi.design_file import read_design
from compiler.abi.dma import PAGE, Entry, place
from compiler.abi.dma_registers import Kind
from compiler.abi.frames import Stimulus, frame_packets
from compiler.abi.states import outcome_of
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format.random_models import random_frames, random_model
from csb_format.scales import DesignError
from csb_format.screening.layer import ScreenedLayer
from engine.reference import IntegerModel
from hdl.dram.reader import ReadBus
from sim.bus.axi import AxiScript, Memory, simulate_axi
from sim.check.compare import compare
from sim.run.streams import Pauses
from tests.delivered import check_delivered

BASE = 16 * PAGE
BUS = ReadBus(64, 32, 8, 4, 64)


def screened(streamed: bool = False) -> Image:
    model = random_model(np.random.default_rng(2), 3, 4, 2, 1, 1, head=20)
    assert model.head is not None
    model = replace(model, head=ScreenedLayer.of(model.head))
    return compile_model(model, design_for(model, 4, 2, largest=3, planes=64, streamed=streamed))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["axi", "dram", "streamed"])
@pytest.mark.parametrize(("simulator", "share"), [("icarus", 0.3), ("verilator", 0.0)])
def test_states_and_logits_are_the_model_s(
    tmp_path: Path, kind: str, simulator: str, share: float
) -> None:
    image = screened(kind == "streamed")
    top = Top("axi" if kind == "axi" else "dram", 64, BUS)
    files = write_block(image.design, image, tmp_path / "v", top)
    placed = place([image], BASE, BUS.data_bits)
    planes = Memory(placed.data, BASE, BUS, (5, 30))
    script = AxiScript(64, 64, Pauses(share, 5), planes=planes)
    script.write("frame", beats=image.parts[0].frame_beats)
    if kind == "axi":
        script.load(image.load_words())
    else:
        script.memory = Memory(placed.data, BASE)
        script.write("irq_enable", loaded=1)
        script.transfer(Entry(Kind.LIST, placed.lists[0][0])).wait_irq()
    script.wait("status", settling=0)
    script.write("planes_base", page=placed.planes[0] // PAGE).write("planes_base_high")
    sequences = random_frames(np.random.default_rng(0), image.model, [3, 2])
    stimulus = Stimulus.of(image, sequences)
    for packet in frame_packets(stimulus, 64):
        script.send(packet)
    script.receive(5).wait("status", busy=0).read("errors")
    outcome = simulate_axi(files, script, tmp_path, simulator=simulator, timeout=400)
    levels = IntegerModel(image.model).run_levels(sequences)
    found = compare(stimulus, outcome_of(image, outcome.packets, 64), levels)
    assert found.mismatches == 0, found.first
    assert outcome.results[-1] == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "base"), [("axi", None), ("dram", None), ("dram", BASE)])
def test_what_is_delivered(tmp_path: Path, kind: str, base: int | None) -> None:
    """No warning of Verilator's lint; its own test bench passes; the planes lie beside."""
    image = screened()
    files = write_block(image.design, image, tmp_path / "v", Top(kind, 64, BUS), base=base)
    check_delivered(files)
    told = (files.folder / "README.md").read_text("utf-8")
    assert "planes_base" in told
    if base is None:
        assert (files.folder / "sparseflow_planes.bin").read_bytes() == image.planes
        assert "sparseflow_planes.bin" in told
        return
    header = (files.folder / "sparseflow_model.h").read_text()
    at = int(header.split("SPARSEFLOW_MODEL_PLANES ")[1].split("ull")[0], 0) - base
    data = (files.folder / "sparseflow_model.bin").read_bytes()
    assert data[at : at + len(image.planes)] == image.planes
    assert read_design(files.folder) == image.design
    given = json.loads((files.folder / "design.json").read_text())
    assert given["screen"]["bus_bits"] == 64


def test_a_serial_line_has_no_memory() -> None:
    with pytest.raises(DesignError, match=r"reaches no memory with planes: leave planes"):
        Top("link").check(screened().design)
