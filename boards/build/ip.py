"""The accelerator with AXI buses as a block for others: FuseSoC core file and IP-XACT.

All names in it begin with a prefix (:mod:`hdl.prefix`), so that several fit into one system.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from amaranth.hdl import Value
from amaranth.lib import wiring

from compiler.abi.registers import MAGIC, REGISTERS, design_hash
from compiler.array.design import Design
from compiler.lower.image import Image
from csb_format.files.folders import replaced_folder
from hdl.core.hierarchy import Hierarchy
from hdl.prefix import OURS, named, waivers_file
from hdl.verilog import VerilogFiles, emit_verilog

from .tops.memory import memory_files
from .tops.readme import README, readme
from .tops.tops import BITS, Top

__all__ = [
    "BITS",
    "BUSES",
    "KIND",
    "component_xml",
    "core_file",
    "ports_of",
    "vlnv",
    "write_block",
    "write_ip",
]

KIND = "ip"  # of the folder, for its marker
COMPONENT_FILE = "component.xml"
VERSION = "1.0"
TESTBENCH = f"{OURS}_tb"
SPIRIT = "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
# bus: its type among AMD's bus definitions, how it is used
BUSES = {
    "s_axi": ("aximm", "slave"),
    "s_axis": ("axis", "slave"),
    "m_axis": ("axis", "master"),
    "s_axis_matrix": ("axis", "slave"),
    "m_axi": ("aximm", "master"),
}

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
    texts[README] = readme(top, image, files, ports_of(block), prefix, placed=base is not None)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    if base is not None:
        for name, data in memory_files(image, base, top.bus.data_bits, prefix).items():
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
    """A core file without some of its file sets and targets."""
    return re.sub(rf"^  (?:{'|'.join(names)}):\n(?:    .*\n)+", "", text, flags=re.M)


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


def ports_of(block: wiring.Component) -> dict[str, tuple[str, int]]:
    """Direction and width of every port, the clock and reset among them."""
    return {
        "__".join(map(str, path)): (
            "in" if member.flow == wiring.In else "out",
            len(Value.cast(value)),
        )
        for path, member, value in block.signature.flatten(block)
    }


def component_xml(block: wiring.Component, files: VerilogFiles) -> str:
    """IP-XACT (IEEE 1685-2009, the version that Vivado reads)."""
    ElementTree.register_namespace("spirit", SPIRIT)
    root = ElementTree.Element(f"{{{SPIRIT}}}component")
    ports = ports_of(block)
    names = {"vendor": "sparseflow", "library": "user", "name": files.top, "version": VERSION}
    for tag, text in names.items():
        _add(root, tag, text)
    buses = _add(root, "busInterfaces")
    for bus in BUSES:
        if f"{bus}_tdata" in ports or f"{bus}_araddr" in ports:
            _bus(buses, bus, [p for p in ports if _of_bus(p, bus)])
    _clocks(buses, [bus for bus in BUSES if any(_of_bus(p, bus) for p in ports)])
    if "m_axi_araddr" in ports:
        _space(root, ports)
    maps = _add(_add(root, "memoryMaps"), "memoryMap")
    _add(maps, "name", "s_axi")
    block_of = _add(maps, "addressBlock")
    for tag, text in (("name", "registers"), ("baseAddress", "0"), ("range", "4096")):
        _add(block_of, tag, text)
    for tag, text in (("width", "32"), ("usage", "register")):
        _add(block_of, tag, text)
    _model(root, ports, files.top)
    _files(root, files)
    _add(root, "description", "Bank-balanced sparse LSTM accelerator")
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _space(root: ElementTree.Element, ports: dict[str, tuple[str, int]]) -> None:
    """What the port to memory reaches."""
    space = _add(_add(root, "addressSpaces"), "addressSpace")
    _add(space, "name", "m_axi")
    _add(space, "range", str(1 << ports["m_axi_araddr"][1]))
    _add(space, "width", str(ports["m_axi_rdata"][1]))


def _add(parent: ElementTree.Element, tag: str, text: str | None = None) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, f"{{{SPIRIT}}}{tag}")
    child.text = text
    return child


def _of_bus(port: str, bus: str) -> bool:
    """Whether a port belongs to a bus, and not to one whose name goes on."""
    rest = port.removeprefix(f"{bus}_")
    return rest != port and "_" not in rest


def _kind(parent: ElementTree.Element, tag: str, library: str, name: str) -> None:
    given = {"vendor": "xilinx.com", "library": library, "name": name, "version": "1.0"}
    element = _add(parent, tag)
    for key, value in given.items():
        element.set(f"{{{SPIRIT}}}{key}", value)


def _bus(buses: ElementTree.Element, bus: str, ports: list[str]) -> None:
    kind, mode = BUSES[bus]
    interface = _add(buses, "busInterface")
    _add(interface, "name", bus)
    _kind(interface, "busType", "interface", kind)
    _kind(interface, "abstractionType", "interface", f"{kind}_rtl")
    used = _add(interface, mode)
    if kind == "aximm":
        tag = "memoryMapRef" if mode == "slave" else "addressSpaceRef"
        _add(used, tag).set(f"{{{SPIRIT}}}{tag}", bus)
    _map(interface, {port.removeprefix(f"{bus}_").upper(): port for port in ports})


def _map(interface: ElementTree.Element, ports: dict[str, str]) -> None:
    maps = _add(interface, "portMaps")
    for logical, physical in ports.items():
        one = _add(maps, "portMap")
        _add(_add(one, "logicalPort"), "name", logical)
        _add(_add(one, "physicalPort"), "name", physical)


def _clocks(buses: ElementTree.Element, clocked: list[str]) -> None:
    """Clock, reset and interrupt as Vivado knows them."""
    for name, kind, logical, mode, parameters in (
        ("aclk", "clock", "CLK", "slave", {"ASSOCIATED_BUSIF": ":".join(clocked)}),
        ("aresetn", "reset", "RST", "slave", {"POLARITY": "ACTIVE_LOW"}),
        ("irq", "interrupt", "INTERRUPT", "master", {"SENSITIVITY": "LEVEL_HIGH"}),
    ):
        interface = _add(buses, "busInterface")
        _add(interface, "name", name)
        _kind(interface, "busType", "signal", kind)
        _kind(interface, "abstractionType", "signal", f"{kind}_rtl")
        _add(interface, mode)
        _map(interface, {logical: name})
        values = _add(interface, "parameters")
        if kind == "clock":
            parameters["ASSOCIATED_RESET"] = "aresetn"
        for key, value in parameters.items():
            one = _add(values, "parameter")
            _add(one, "name", key)
            _add(one, "value", value)


def _model(root: ElementTree.Element, ports: dict[str, tuple[str, int]], module: str) -> None:
    model = _add(root, "model")
    view = _add(_add(model, "views"), "view")
    _add(view, "name", "rtl")
    _add(view, "envIdentifier", ":*:*")
    _add(view, "language", "verilog")
    _add(view, "modelName", module)
    _add(_add(view, "fileSetRef"), "localName", "sources")
    listed = _add(model, "ports")
    for name, (flow, width) in ports.items():
        port = _add(listed, "port")
        _add(port, "name", name)
        wire = _add(port, "wire")
        _add(wire, "direction", flow)
        if width > 1:
            vector = _add(wire, "vector")
            _add(vector, "left", str(width - 1))
            _add(vector, "right", "0")


def _files(root: ElementTree.Element, files: VerilogFiles) -> None:
    listed = _add(_add(root, "fileSets"), "fileSet")
    _add(listed, "name", "sources")
    for name in (*files.sources, *files.images):
        file = _add(listed, "file")
        _add(file, "name", name)
        image = name.endswith(".mem")
        if image:
            _add(file, "userFileType", "mem")
        else:
            _add(file, "fileType", "verilogSource")
