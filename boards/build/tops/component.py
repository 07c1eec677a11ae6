"""IP-XACT of a top, the version that Vivado reads, and the ports that it is made of."""

from __future__ import annotations

from xml.etree import ElementTree

from amaranth.hdl import Value
from amaranth.lib import wiring

from compiler.array.screen.design import PLANES_PORTS
from hdl.verilog import VerilogFiles

__all__ = ["BUSES", "SPIRIT", "VERSION", "component_xml", "ports_of"]

VERSION = "1.0"
SPIRIT = "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"
# bus: its type among AMD's bus definitions, how it is used
BUSES = {
    "s_axi": ("aximm", "slave"),
    "s_axis": ("axis", "slave"),
    "m_axis": ("axis", "master"),
    "s_axis_matrix": ("axis", "slave"),
    "m_axi": ("aximm", "master"),
    PLANES_PORTS: ("aximm", "master"),
}


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
    masters = [bus for bus in BUSES if BUSES[bus][1] == "master" and f"{bus}_araddr" in ports]
    if masters:
        _spaces(root, ports, masters)
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


def _spaces(
    root: ElementTree.Element, ports: dict[str, tuple[str, int]], masters: list[str]
) -> None:
    """What the ports to memory reach."""
    spaces = _add(root, "addressSpaces")
    for bus in masters:
        space = _add(spaces, "addressSpace")
        _add(space, "name", bus)
        _add(space, "range", str(1 << ports[f"{bus}_araddr"][1]))
        _add(space, "width", str(ports[f"{bus}_rdata"][1]))


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
