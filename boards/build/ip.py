"""The accelerator with AXI buses as a block for others: FuseSoC, IP-XACT, LiteX.

All names in it begin with a prefix (:mod:`hdl.prefix`), so that several fit into one system.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from amaranth.lib import wiring

from compiler.abi.registers import MAGIC, REGISTERS, design_hash
from compiler.array.design import Design
from compiler.lower.image import Image
from csb_format.files.folders import replaced_folder
from hdl.core.hierarchy import Hierarchy
from hdl.prefix import OURS, named, waivers_file
from hdl.verilog import VerilogFiles, emit_verilog

from .tops.component import VERSION, component_xml, ports_of
from .tops.litex import litex_wrapper
from .tops.memory import memory_files
from .tops.readme import README, readme
from .tops.tops import BITS, Top
from .tops.zynq import fits_zynq, zynq_script

__all__ = [
    "BITS",
    "KIND",
    "core_file",
    "vlnv",
    "write_block",
    "write_ip",
]

KIND = "ip"  # of the folder, for its marker
COMPONENT_FILE = "component.xml"
TESTBENCH = f"{OURS}_tb"
TB = """// Resets the accelerator, reads what it says it is over AXI4-Lite, and says PASS.
`timescale 1ns/1ps
module {tb};
    reg aclk = 0, aresetn = 0, arvalid = 0;
    reg [31:0] araddr = 0;
    wire arready, rvalid;
    wire [31:0] rdata;
    wire [1:0] rresp;
    always #5 aclk = ~aclk;

    {module} dut (
        .aclk(aclk), .aresetn(aresetn), .s_axi_araddr(araddr[{top}:0]), .s_axi_arvalid(arvalid),
        .s_axi_arready(arready), .s_axi_rdata(rdata), .s_axi_rresp(rresp),
        .s_axi_rvalid(rvalid), .s_axi_rready(1'b1){idle}
    );

    task expect_word(input [31:0] address, input [31:0] wanted);
        begin
            araddr <= address;
            arvalid <= 1;
            @(posedge aclk);
            while (!arready) @(posedge aclk);
            arvalid <= 0;
            while (!rvalid) @(posedge aclk);
            if (rdata !== wanted || rresp !== 0) begin
                $display("FAIL: register %h is %h, not %h", address, rdata, wanted);
                $fatal;
            end
        end
    endtask

    initial begin
        repeat (4) @(posedge aclk);
        aresetn <= 1;
        repeat (20) @(posedge aclk);
{checks}
        $display("PASS");
        $finish;
    end
    initial #100000 begin
        $display("FAIL: no answer");
        $fatal;
    end
endmodule
"""

CORE = """CAPI=2:
name: "{vlnv}"
description: "Bank-balanced sparse LSTM accelerator, {pes} x {lanes} multipliers{buses}"

filesets:
  rtl:
    files:
{sources}
    file_type: verilogSource
  images:
    files:
{images}
    file_type: user
  waivers:
    files:
      - {waivers}
    file_type: vlt
  tb:
    files:
      - {tb}.v
    file_type: verilogSource

targets:
  # what a core gets that depends on this one; tools other than Verilator pass waivers by
  default: &default
    filesets: [waivers, rtl, images]
    toplevel: {module}
  lint:
    <<: *default
    flow: lint
    flow_options:
      tool: verilator
      verilator_options: [-Wall]
  sim:
    <<: *default
    filesets: [rtl, images, tb]
    toplevel: {tb}
    flow: sim
    flow_options:
      tool: icarus
      iverilog_options: [-g2005]
"""


def write_ip(
    design: Design,
    image: Image,
    folder: Path,
    bits: int = BITS,
    prefix: str = OURS,
    top: Top | None = None,
) -> VerilogFiles:
    """Write the Verilog, its images, a ``.core`` file, a test bench and ``component.xml``.

    Parameters
    ----------
    design : Design
    image : Image
    folder : Path
        Replaced as a whole, and only where it is ours.
    bits : int
        Of both streams.
    prefix : str
        What the names of modules, files, images, core and component begin with; see
        :func:`hdl.prefix.check_prefix`. Those of registers and their C header are the same for
        every accelerator, as one driver serves them all.
    top : Top, optional
        By default the accelerator on AXI buses, with streams of ``bits``.
    """
    with replaced_folder(folder, KIND) as new:
        files = write_block(design, image, new, top or Top("axi", bits), prefix)
    return replace(files, folder=folder)


def write_block(
    design: Design,
    image: Image,
    folder: Path,
    top: Top,
    prefix: str = OURS,
    base: int | None = None,
    others: Sequence[Image] = (),
) -> VerilogFiles:
    """Write a top with all that lies beside it into a folder that is made meanwhile.

    The bare core has nothing beside it; what needs AXI buses is left out behind a serial line.

    Parameters
    ----------
    design, image, prefix
        As for :func:`write_ip`.
    folder : Path
    top : Top
    base : int, optional
        Of ``dram`` where the model is to lie in memory: its bytes and a C header go beside, and
        the memories on chip have no images.
    others : sequence of Image
        Models of the same design that lie behind it in memory.
    """
    top.check(design)
    made: list[wiring.Component] = []

    def component(design: Design, image: Image | None, hierarchy: Hierarchy) -> wiring.Component:
        made.append(top.maker()(design, image, hierarchy))
        return made[0]

    start = image if base is None else None
    files = emit_verilog(design, folder, start, top=component, name=top.module, prefix=prefix)
    if top.kind == "core":
        return files
    (block,) = made
    texts = {f"{prefix}.core": core_file(design, files, prefix, bench=top.kind != "link")}
    if top.kind != "link":
        texts[f"{named(prefix, TESTBENCH)}.v"] = testbench(design, block, files.top, prefix)
        texts[COMPONENT_FILE] = component_xml(block, files)
        texts |= litex_wrapper(files, ports_of(block), prefix)
    if fits_zynq(ports_of(block)):
        texts |= zynq_script(files, top.bits, prefix)
    texts[README] = readme(
        top, image, files, ports_of(block), prefix, placed=base is not None, others=others
    )
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    if base is not None:
        for name, data in memory_files([image, *others], base, top.bus, prefix).items():
            (folder / name).write_bytes(data)
    return files


def vlnv(module: str) -> str:
    """Vendor, library, name and version of the core whose top module has this name."""
    return f"sparseflow:accelerator:{module}:{VERSION}"


def core_file(
    design: Design, files: VerilogFiles, prefix: str = OURS, *, bench: bool = True
) -> str:
    """FuseSoC's description (CAPI 2), with or without a test bench."""
    images = "\n".join(f"      - {name}: {{copyto: {name}}}" for name in files.images)
    text = CORE if bench else _without(CORE, "tb", "sim")
    if not files.images:
        text = re.sub(", images", "", _without(text, "images"))
    return text.format(
        module=files.top,
        vlnv=vlnv(files.top),
        pes=design.pes,
        lanes=design.lanes,
        buses=", AXI buses" if bench else ", serial line",
        sources="\n".join(f"      - {name}" for name in files.sources),
        images=images,
        waivers=waivers_file(prefix),
        tb=named(prefix, TESTBENCH),
    )


def _without(text: str, *names: str) -> str:
    """A core file without some of its file sets and targets; lists to come stand for lines."""
    lines = r"(?:(?:    |\{).*\n)+"
    return re.sub(rf"^  (?:{'|'.join(names)}):\n{lines}", "", text, flags=re.M)


def testbench(design: Design, block: wiring.Component, module: str, prefix: str) -> str:
    """Verilog that needs nothing of ours: identity of the accelerator over its registers."""
    wanted = {"magic": MAGIC, "design_hash": design_hash(design)}
    lines = [
        f"        expect_word(32'h{REGISTERS[name].address:x}, 32'h{value:x});"
        for name, value in wanted.items()
    ]
    used = ("s_axi_ar", "s_axi_r", "aclk", "aresetn")
    ports = ports_of(block)
    inputs = [p for p, (flow, _) in ports.items() if flow == "in" and not p.startswith(used)]
    idle = "".join(f",\n        .{name}({ports[name][1]}'d0)" for name in inputs)
    idle += "".join(f",\n        .{p}()" for p, (f, _) in ports.items() if _open(p, f, used))
    idle += f",\n        .s_axi_arprot({ports['s_axi_arprot'][1]}'d0)"
    return TB.format(
        tb=named(prefix, TESTBENCH),
        module=module,
        top=ports["s_axi_araddr"][1] - 1,
        idle=idle,
        checks="\n".join(lines),
    )


def _open(port: str, flow: str, used: tuple[str, ...]) -> bool:
    return flow == "out" and not port.startswith(used)
