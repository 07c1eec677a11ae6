"""Pictures of the tops and of the systems they go into, ``docs/system_*.svg``.

``python -m docs.systems`` draws them again after a table below was changed; a test compares.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from html import escape

from .picture import HEAD, ROOT, STYLE

WIDE = 760
LINE = 17  # from a line of text to the next
MARGIN = 16


@dataclass(frozen=True)
class Box:
    """A block: its left and upper edge, its size, its name, what it is."""

    x: int
    y: int
    wide: int
    high: int
    name: str
    text: tuple[str, ...] = ()
    outer: bool = False  # others lie in it, so its name stands at its upper edge


@dataclass(frozen=True)
class Arrow:
    """A straight line from one point to another, the way of the data, and what they are."""

    x: int
    y: int
    to_x: int
    to_y: int
    label: str = ""
    both: bool = False
    at: int | None = None  # middle of the label; by default that of the line


@dataclass(frozen=True)
class System:
    """A picture: what it shows in words, its blocks, the last ones on top, and arrows."""

    said: str
    high: int
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


TOP, INNER = 316, 340  # left edges of a top and of what is in it
GAP = 241  # middle between a top and what is to its left
DRAM = (
    Box(TOP, 16, 428, 262, "sparseflow_dram", outer=True),
    Box(INNER, 48, 130, 48, "registers"),
    Box(INNER, 130, 130, 48, "packets", ("in and out",)),
    Box(INNER, 212, 130, 48, "transfers", ("lists, prefetch",)),
    Box(610, 48, 110, 212, "core", ("the array",)),
)
DRAM_ARROWS = (
    Arrow(470, 72, 610, 72, "start"),
    Arrow(470, 146, 610, 146, "frames"),
    Arrow(610, 164, 470, 164, "states"),
    Arrow(470, 236, 610, 236, "words, rows"),
    Arrow(406, 96, 406, 130),
)
SYSTEMS = {
    "core": System(
        "The top core: words that load it and frames go in, states come out",
        152,
        (
            Box(16, 16, 170, 120, "your system", ("Amaranth or Verilog",)),
            Box(400, 16, 344, 120, "sparseflow", ("clk, rst, streams of", "valid, ready, payload")),
        ),
        (
            Arrow(186, 44, 400, 44, "load: words of 32 bits"),
            Arrow(186, 80, 400, 80, "frames"),
            Arrow(400, 116, 186, 116, "states"),
        ),
    ),
    "axi": System(
        "The top axi: registers on AXI4-Lite, packets on AXI4-Stream, an interrupt",
        212,
        (
            Box(16, 48, 150, 48, "processor"),
            Box(16, 130, 150, 48, "DMA engine", ("your system's",)),
            Box(TOP, 16, 428, 180, "sparseflow_axi", outer=True),
            Box(INNER, 48, 130, 48, "registers"),
            Box(INNER, 130, 130, 48, "packets", ("in and out",)),
            Box(610, 48, 110, 130, "core", ("the array",)),
        ),
        (
            Arrow(166, 64, INNER, 64, "s_axi, AXI4-Lite", at=GAP),
            Arrow(TOP, 84, 166, 84, "irq", at=GAP),
            Arrow(166, 146, INNER, 146, "s_axis", at=GAP),
            Arrow(INNER, 164, 166, 164, "m_axis", at=GAP),
            Arrow(470, 72, 610, 72, "load, start"),
            Arrow(470, 146, 610, 146, "frames"),
            Arrow(610, 164, 470, 164, "states"),
        ),
    ),
    "dram": System(
        "The top dram: that of axi, and a port to memory from which models come",
        294,
        (
            Box(16, 48, 150, 48, "processor"),
            Box(16, 130, 150, 48, "DMA engine", ("your system's",)),
            Box(16, 212, 150, 48, "memory", ("models as lists",)),
            *DRAM,
        ),
        (
            Arrow(166, 64, INNER, 64, "s_axi, AXI4-Lite", at=GAP),
            Arrow(TOP, 84, 166, 84, "irq", at=GAP),
            Arrow(166, 146, INNER, 146, "s_axis", at=GAP),
            Arrow(INNER, 164, 166, 164, "m_axis", at=GAP),
            Arrow(166, 236, INNER, 236, "m_axi, to 512 bits", at=GAP),
            *DRAM_ARROWS,
        ),
    ),
    "link": System(
        "The top link: a serial line carries requests to registers and packets",
        212,
        (
            Box(16, 48, 150, 130, "host", ("sf.open, or C", "docs/link.md")),
            Box(TOP, 16, 428, 180, "sparseflow_link", outer=True),
            Box(INNER, 48, 110, 130, "link", ("UART, CRC", "requests")),
            Box(550, 48, 170, 48, "registers"),
            Box(550, 130, 170, 48, "core"),
        ),
        (
            Arrow(166, 84, INNER, 84, "rx", at=GAP),
            Arrow(INNER, 146, 166, 146, "tx", at=GAP),
            Arrow(450, 72, 550, 72, "load, start", at=494),
            Arrow(450, 146, 550, 146, "frames"),
            Arrow(550, 164, 450, 164, "states"),
            Arrow(635, 96, 635, 130),
        ),
    ),
    "zynq": System(
        "A Zynq: the processor's master at registers, its memory for packets and models",
        294,
        (
            Box(16, 16, 200, 262, "Zynq UltraScale+, ps", outer=True),
            Box(32, 48, 168, 48, "M_AXI_HPM0_FPD", ("Linux, PYNQ",)),
            Box(32, 130, 168, 48, "S_AXI_HP0_FPD", ("DDR memory",)),
            Box(32, 212, 168, 48, "S_AXI_HP1_FPD", ("DDR memory: models",)),
            Box(350, 120, 130, 68, "dma", ("axi_dma",)),
            Box(590, 16, 154, 262, "accelerator", ("sparseflow_dram",)),
        ),
        (
            Arrow(200, 64, 590, 64, "s_axi (and to dma)"),
            Arrow(590, 88, 200, 88, "irq to pl_ps_irq0"),
            Arrow(350, 154, 200, 154, "packets", both=True),
            Arrow(480, 142, 590, 142, "s_axis"),
            Arrow(590, 168, 480, 168, "m_axis"),
            Arrow(200, 236, 590, 236, "m_axi: a port of its own"),
        ),
    ),
    "litex": System(
        "A LiteX SoC: one bus, the processor and three masters of the accelerator",
        308,
        (
            Box(16, 16, 170, 48, "PicoRV32", ("examples/litex/main.c",)),
            Box(16, 100, 170, 48, "program, stack"),
            Box(16, 184, 170, 48, "models", ("any memory of the SoC",)),
            Box(250, 16, 90, 276, "bus", ("Wishbone,", "32 bits")),
            Box(420, 16, 324, 276, "sparseflow_litex.py", outer=True),
            Box(436, 112, 120, 48, "reader", ("LiteX's DMA",)),
            Box(436, 172, 120, 48, "writer", ("LiteX's DMA",)),
            Box(628, 48, 100, 228, "accelerator", ("dram",)),
        ),
        (
            Arrow(186, 40, 250, 40, both=True),
            Arrow(250, 124, 186, 124, both=True),
            Arrow(186, 208, 250, 208),
            Arrow(340, 72, 628, 72, "registers: s_axi", at=500),
            Arrow(340, 136, 436, 136, "frames", at=380),
            Arrow(436, 196, 340, 196, "states", at=380),
            Arrow(556, 136, 628, 136, "s_axis"),
            Arrow(628, 196, 556, 196, "m_axis"),
            Arrow(340, 252, 628, 252, "memory: m_axi", at=500),
        ),
    ),
    "bare": System(
        "A bare FPGA: a soft processor, block RAM, the accelerator, and nothing else",
        294,
        (
            Box(16, 48, 150, 48, "PicoRV32", ("main.c",)),
            Box(16, 130, 150, 48, "streams", ("two words, a queue",)),
            Box(16, 212, 150, 48, "models", ("block RAM",)),
            *DRAM,
        ),
        (
            Arrow(166, 72, INNER, 72, "AXI4-Lite adapter", at=GAP),
            Arrow(166, 146, INNER, 146, "s_axis", at=GAP),
            Arrow(INNER, 164, 166, 164, "m_axis", at=GAP),
            Arrow(91, 96, 91, 130, both=True),
            Arrow(166, 236, INNER, 236, "m_axi, 64 bits", at=GAP),
            *DRAM_ARROWS,
        ),
    ),
}


def _box(box: Box) -> str:
    middle = box.x + box.wide // 2
    lines = [box.name, *box.text]
    first = box.y + 21 if box.outer else box.y + box.high // 2 - LINE * (len(lines) - 1) // 2 + 5
    parts = [f'<rect x="{box.x}" y="{box.y}" width="{box.wide}" height="{box.high}" rx="6"/>']
    for n, line in enumerate(lines):
        kind = ' class="folders"' if n else ""
        parts.append(
            f'<text x="{middle}" y="{first + n * LINE}" text-anchor="middle"{kind}>'
            f"{escape(line)}</text>"
        )
    return "\n".join(parts)


def _arrow(arrow: Arrow) -> str:
    start = ' marker-start="url(#back)"' if arrow.both else ""
    line = (
        f'<path d="M{arrow.x} {arrow.y}L{arrow.to_x} {arrow.to_y}"{start} marker-end="url(#head)"/>'
    )
    if not arrow.label:
        return line
    middle = (arrow.x + arrow.to_x) // 2 if arrow.at is None else arrow.at
    return line + (
        f'\n<text x="{middle}" y="{arrow.y - 5}" text-anchor="middle" class="folders">'
        f"{escape(arrow.label)}</text>"
    )


BACK = HEAD.replace("head", "back").replace('"auto"', '"auto-start-reverse"')
BACK_STYLE = STYLE.replace("#head path {", "#head path, #back path {")


def picture(name: str) -> str:
    """A system as SVG.

    Parameters
    ----------
    name : str
        A key of :data:`SYSTEMS`.
    """
    system = SYSTEMS[name]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {system.high}" '
        f'width="{WIDE}" height="{system.high}" role="img" aria-label="{escape(system.said)}">',
        BACK_STYLE,
        HEAD,
        BACK,
        *map(_box, system.boxes),
        *map(_arrow, system.arrows),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def main() -> None:
    """Draw all of them."""
    argparse.ArgumentParser(description="Draw docs/system_*.svg anew.").parse_args()
    for name in SYSTEMS:
        (ROOT / "docs" / f"system_{name}.svg").write_text(picture(name), encoding="utf-8")


if __name__ == "__main__":
    main()
