"""A page beside the Verilog of a top: its files, its ports, and how a model runs on it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from compiler.abi.register_text import HEADER_FILE
from compiler.array.screen.design import PLANES_PORTS
from compiler.lower.image import Image
from hdl.prefix import named, planes_file
from hdl.verilog import VerilogFiles

from .litex import LITEX, fits_litex
from .tops import Top
from .zynq import ZYNQ, fits_zynq

__all__ = ["README", "readme"]

README = "README.md"
TEXT = """# {module}

An LSTM or GRU accelerator of {pes} x {lanes} multipliers. Pages named here are those of Sparseflow.

| file | what |
|---|---|
{files}

| bus or port | bits | what |
|---|---|---|
{ports}

{run}
"""
BUSES = {
    "s_axi": "AXI4-Lite slave: registers, one page of 4 KiB (docs/registers.md)",
    "s_axis": "AXI4-Stream slave: packets of frames (docs/bus.md)",
    "m_axis": "AXI4-Stream master: packets of states, one a frame",
    "s_axis_matrix": "AXI4-Stream slave: words of the matrix, `tuser` with the first of an image",
    "m_axi": "AXI4 read master: models in memory (docs/integration.md)",
    PLANES_PORTS: "AXI4 read master: planes of a screened head (docs/screening.md)",
}
PINS = {
    "aclk": "clock of all buses",
    "aresetn": "reset, synchronous, active low",
    "irq": "level interrupt",
    "clk": "clock",
    "rst": "reset, synchronous",
    "rx": "serial line, in",
    "tx": "serial line, out",
    "led": "changes with every request that is carried out",
}
RUN = {
    "axi": """Write `frame` = {beats}, the words of `Image.load_words()` to `load`, then send
packets. Where memories start from the `.mem` files nothing needs to be loaded.""",
    "dram": """Put the model into memory: {where}. Write its list to `dma_base` and
`dma_base_high`, `frame` = {beats}, then `dma_start` = 3. When `dma_status.loading` falls, or
`irq_status.loaded` comes, send packets. In Python
`compiler.abi.dma.place` lays out any models of this design, one or several.""",
    "link": """`sf.open("serial:PORT", design)` drives it, or `boards/c/sparseflow.h` in C
(docs/link.md). The line runs at {baud} baud with a clock of {clock_hz:.0f} Hz.""",
}

# Whether bytes of the model lie beside.
WHERE = {
    True: "copy `{prefix}_model.bin` to the base that `{prefix}_model.h` names",
    False: "`sparseflow verilog --base` writes its bytes",
}


def readme(
    top: Top,
    image: Image,
    files: VerilogFiles,
    ports: Mapping[str, tuple[str, int]],
    prefix: str,
    *,
    placed: bool,
    others: Sequence[Image] = (),
) -> str:
    """The page.

    Parameters
    ----------
    top : Top
    image : Image
    files : VerilogFiles
    ports : mapping
        Direction and width of each.
    prefix : str
        Of all names.
    placed : bool
        Whether bytes of the model lie beside.
    others : sequence of Image
        Models that lie behind it.
    """
    return TEXT.format(
        module=files.top,
        pes=image.design.pes,
        lanes=image.design.lanes,
        files="\n".join(
            f"| {name} | {what} |" for name, what in _files(top, files, ports, prefix, placed)
        ),
        ports="\n".join(_ports(ports)),
        run=RUN[top.kind].format(
            where=WHERE[placed].format(prefix=prefix),
            beats=_beats((image, *others)),
            baud=top.baud,
            clock_hz=top.clock_hz,
        )
        + _largest(image)
        + _planes(image, prefix, placed=placed),
    )


def _largest(image: Image) -> str:
    """What ends the packet of a frame, if a screen unit stands behind the array."""
    if (screen := image.design.screen) is None:
        return ""
    beats = "beats are its largest logits, each" if screen.top > 1 else "beat is its largest logit,"
    return f"\n\nThe last {screen.top} {beats} with its output (docs/spec_wire.md, Screen unit)."


def _planes(image: Image, prefix: str, *, placed: bool) -> str:
    """What to do with planes in memory, if there are any."""
    if not image.planes:
        return ""
    where = (
        f"they lie at `{prefix.upper()}_MODEL_PLANES`"
        if placed
        else f"copy `{planes_file(prefix)}` to a multiple of 4,096"
    )
    return (
        "\n\nPlanes of the screened head are read from memory through `m_axi_planes`: "
        f"{where}.\nWrite that address to `planes_base` and `planes_base_high` before the first "
        "frame."
    )


def _beats(images: Sequence[Image]) -> str:
    """Of a frame; model by model where they differ."""
    found = [image.parts[0].frame_beats for image in images]
    if len(set(found)) == 1:
        return str(found[0])
    return ", ".join(f"{beats} (model {i})" for i, beats in enumerate(found))


def _files(
    top: Top, files: VerilogFiles, ports: Collection[str], prefix: str, placed: bool
) -> list[tuple[str, str]]:
    found = [(f"`{files.sources[0]}` and the other `.v`", "Verilog-2005, a module a file")]
    if files.images:
        found.append(("`*.mem`", "what its memories start from"))
    found += [(f"`{HEADER_FILE}`", "registers for C"), (f"`{prefix}.core`", "FuseSoC")]
    if top.kind != "link":
        found += [("`component.xml`", "IP-XACT"), (f"`{prefix}_tb.v`", "a test bench")]
        if fits_litex(ports):
            found += [(f"`{named(prefix, LITEX)}.py`", "LiteX: a module of Python")]
    if fits_zynq(ports):
        found += [(f"`{named(prefix, ZYNQ)}.tcl`", "Vivado: a block design of a Zynq UltraScale+")]
    if placed:
        found += [(f"`{prefix}_model.bin`, `{prefix}_model.h`", "the model for memory, for C")]
        found += [("`design.json`", "the design, for other models")]
    elif f"{PLANES_PORTS}_araddr" in ports:
        found += [(f"`{planes_file(prefix)}`", "planes of the screened head, for memory")]
    return [*found, (f"`{prefix}.vlt`", "waivers for Verilator's lint, with reasons")]


def _ports(ports: Mapping[str, tuple[str, int]]) -> list[str]:
    lines = []
    for bus, what in BUSES.items():
        width = next((ports[f"{bus}_{d}"][1] for d in _DATA if f"{bus}_{d}" in ports), None)
        if width is not None:
            lines.append(f"| `{bus}_*` | {width} | {what} |")
    return lines + [f"| `{pin}` | 1 | {what} |" for pin, what in PINS.items() if pin in ports]


_DATA = ("tdata", "rdata")
