"""Projects of vendor tools need nothing outside their folder."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from boards.board import BoardError, board
from boards.build.ip import write_block
from boards.build.tops.component import SPIRIT
from boards.build.tops.tops import Top
from boards.build.vendor import write_project
from boards.host import pynq
from boards.link.protocol import BUS_BITS, FrameFinder, Reply, Request, enframe
from compiler.abi.registers import MAGIC, REGISTERS
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format.files.ownership import MARKER, PlaceError
from csb_format.random_models import random_model
from sim.run.errors import ToolFailed
from sim.run.processes import watched

pytestmark = pytest.mark.vendor
CLOCKS = 8  # of a bit, to simulate less
# A host that sends the bytes of host.mem and writes what comes back to board.txt.
BENCH = """`timescale 1ns/1ps
module bench;
    reg clk = 0, rx = 1;
    wire tx, led;
    reg [7:0] bytes [0:{last}], got;
    integer n, b, log;
    sparseflow_board dut(.clk(clk), .rx(rx), .tx(tx), .led(led));
    always #{half} clk = !clk;
    initial begin
        $readmemh("host.mem", bytes);
        #(20 * {bit});
        for (n = 0; n <= {last}; n = n + 1) begin
            rx = 0; #{bit};
            for (b = 0; b < 8; b = b + 1) begin rx = bytes[n][b]; #{bit}; end
            rx = 1; #{bit};
        end
        #({bit} * 400) $finish;
    end
    initial begin
        log = $fopen("board.txt");
        forever begin
            @(negedge tx); #({bit} * 3 / 2);
            for (n2 = 0; n2 < 8; n2 = n2 + 1) begin got[n2] = tx; #{bit}; end
            $fwrite(log, "%02x\\n", got);
        end
    end
    integer n2;
endmodule
"""
WORDS = re.compile(r"[\w./]+\.(?:v|mem|xdc|sdc)\b")


@pytest.fixture(scope="module")
def image() -> Image:
    model = random_model(np.random.default_rng(0), 4, 8, banks=2, k_ih=1, k_hh=1)
    return compile_model(model, design_for(model, 4, 2))


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("name", "first", "known"),
    [
        ("arty_a7", "build.tcl", ["xc7a100tcsg324-1", "PACKAGE_PIN E3", "-period 10 "]),
        ("kv260", "build.tcl", ["xck26-sfvc784-2LV-c", "sparseflow:user:sparseflow_axi"]),
        ("de10_nano", "sparseflow.qpf", ["Cyclone V", "5CSEBA6U23I7", "PIN_V11 -to clk"]),
        ("arria10_gx", "sparseflow.qpf", ["Arria 10", "10AX115S2F45I1SG", "PIN_AU33 -to clk"]),
    ],
)
def test_project(image: Image, tmp_path: Path, name: str, first: str, known: list[str]) -> None:
    out = tmp_path / "project"
    files = write_project(board(name), image.design, image, out)
    assert files[0] == first
    assert {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()} == {*files, MARKER}
    scripts = [p for p in files if p.endswith((".tcl", ".qsf", ".xdc", ".sdc"))]
    text = "\n".join((out / p).read_text() for p in scripts)
    assert [word for word in known if word not in text] == []
    assert [word for word in WORDS.findall(text) if not (out / word).exists()] == []
    assert str(tmp_path) not in text
    sources = "\n".join((out / p).read_text() for p in files if p.endswith(".v"))
    named = set(re.findall(r"\w+\.mem", sources))
    assert named == {Path(p).name for p in files if p.endswith(".mem")}


def test_zynq_project_is_what_the_driver_talks_to(image: Image, tmp_path: Path) -> None:
    """Names, and the width of streams; one transfer of the engine holds the driver's buffer."""
    write_project(board("kv260"), image.design, image, tmp_path / "project")
    text = (tmp_path / "project" / "build.tcl").read_text()
    cells = dict(re.findall(r"create_bd_cell -type ip -vlnv \S+?:(\w+) (\w+)\n", text))
    assert (cells["sparseflow_axi"], cells["axi_dma"]) == (pynq.ACCELERATOR, pynq.ENGINE)
    widths = {int(bits) for bits in re.findall(r"tdata_width (\d+)", text)}
    assert widths == {BUS_BITS}
    (length,) = re.findall(r"c_sg_length_width (\d+)", text)
    assert 1 << int(length) > 4 * pynq.BUFFER_WORDS
    (verilog,) = (tmp_path / "project" / "ip").rglob("sparseflow_axi.v")
    ports = re.findall(r"(?:input|output) \[(\d+):0\] [sm]_axis_tdata;", verilog.read_text())
    assert {int(high) + 1 for high in ports} == {BUS_BITS}


@pytest.mark.slow
def test_project_replaces_the_folder_as_a_whole(image: Image, tmp_path: Path) -> None:
    out = tmp_path / "project"
    write_project(board("arty_a7"), image.design, image, out, lambda: {"old": ""})
    assert (out / "old").exists()
    write_project(board("arty_a7"), image.design, image, out)
    assert not (out / "old").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["project"]
    (out / "mine").touch()
    with pytest.raises(PlaceError, match="holds mine: give a new or an empty folder"):
        write_project(board("arty_a7"), image.design, image, out)
    assert (out / "mine").exists()


def test_boards_of_open_tools_have_no_project(image: Image, tmp_path: Path) -> None:
    with pytest.raises(BoardError, match=r"board ulx3s: no vendor project"):
        write_project(board("ulx3s"), image.design, image, tmp_path / "project")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def project(image: Image, tmp_path: Path) -> Path:
    """A project that was moved after it was written."""
    fast = replace(board("arty_a7"), baud=100_000_000 // CLOCKS)
    write_project(fast, image.design, image, tmp_path / "project")
    return (tmp_path / "project").rename(tmp_path / "elsewhere")


def ran(folder: Path, *command: str) -> str:
    """What a tool prints that is run in a folder."""
    watched(command[0], command, folder / "log", 600, folder=folder)
    return (folder / "log").read_text()


def test_project_lints_where_it_lies(project: Path) -> None:
    sources = sorted(path.name for path in project.glob("*.v"))
    told = ran(project, "verilator", "--lint-only", "-Wall", "--top-module", "sparseflow_board",
               "sparseflow.vlt", *sources)  # fmt: skip
    assert "%Warning" not in told
    (project / "sparseflow.vlt").write_text("`verilator_config\n")
    with pytest.raises(ToolFailed, match=r"Exiting due to \d+ warning"):
        ran(project, "verilator", "--lint-only", "-Wall", "--top-module", "sparseflow_board",
            "sparseflow.vlt", *sources)  # fmt: skip


@pytest.mark.slow
def test_project_answers_over_its_line_where_it_lies(project: Path) -> None:
    magic = REGISTERS["magic"].address
    asked = [Request(7, 0), Request(8, 1, 1, magic)]
    line = b"".join(enframe(request.encode()) for request in asked)
    (project / "host.mem").write_text("".join(f"{byte:02x}\n" for byte in line))
    text = BENCH.format(last=len(line) - 1, half=5, bit=10 * CLOCKS)
    (project / "bench.v").write_text(text)
    sources = sorted(path.name for path in project.glob("*.v"))
    ran(project, "verilator", "--binary", "--timing", "-Wno-fatal", "--top-module", "bench",
        "-o", "../bench", *sources)  # fmt: skip
    assert ".mem" not in ran(project, "./bench")  # no image is missed
    found = bytes(int(byte, 16) for byte in (project / "board.txt").read_text().split())
    replies = [Reply.decode(body) for body in FrameFinder().feed(found) if isinstance(body, bytes)]
    assert [(reply.sequence, reply.code) for reply in replies] == [(7, 0), (8, 0)]
    assert replies[0].words == (board("arty_a7").clock_hz,)
    assert replies[1].words == (MAGIC,)
    (project / "program.mem").unlink()
    with pytest.raises(ToolFailed, match=r"memory image program\.mem is missing"):
        ran(project, "./bench")


def designed(script: Path, component: Path, *, ok: bool = True) -> str:
    """Go through a block design's script with a stand-in for Vivado that knows cells and buses."""
    if not (tcl := shutil.which("tclsh")):
        pytest.fail("tclsh is missing: sudo apt-get install tcl")
    root = ElementTree.parse(component).getroot()
    tag = f"{{{SPIRIT}}}"
    buses = [str(e.findtext(f"{tag}name")) for e in root.iter(f"{tag}busInterface")]
    wanted = [bus for bus in buses if bus not in ("aclk", "aresetn")]  # which automation connects
    module = str(root.findtext(f"{tag}name"))
    command = [tcl, str(Path(__file__).with_name("vivado.tcl")), str(script), module, *wanted]
    done = subprocess.run(command, cwd=script.parent, capture_output=True, text=True)
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_zynq_script_names_what_its_cells_have(image: Image, tmp_path: Path) -> None:
    write_project(board("kv260"), image.design, image, tmp_path / "kv260")
    component = tmp_path / "kv260" / "ip" / "component.xml"
    assert designed(tmp_path / "kv260" / "build.tcl", component) == "PASS xck26-sfvc784-2LV-c\n"
    dram = tmp_path / "dram"
    write_block(image.design, image, dram, Top("dram", 128), "vowels", base=0)
    script = dram / "vowels_zynq.tcl"
    assert designed(script, dram / "component.xml") == "PASS xck26-sfvc784-2LV-c\n"
    text = script.read_text()
    assert {int(bits) for bits in re.findall(r"tdata_width (\d+)", text)} == {128}
    for given, broken, told in (
        ("  accelerator/m_axi S_AXI_HP1_FPD\n", "", "accelerator/m_axi is not connected"),
        ("S_AXI_GP3 1", "S_AXI_GP3 0", "ps has no S_AXI_HP1_FPD"),
        ("accelerator/irq", "accelerator/interrupt", "accelerator has no interrupt"),
        ("user:vowels_dram", "user:vowels_axi", "no IP sparseflow:user:vowels_axi"),
    ):
        assert given in text
        script.write_text(text.replace(given, broken))
        assert told in designed(script, dram / "component.xml", ok=False)
