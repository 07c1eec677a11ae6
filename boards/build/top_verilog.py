"""The file around :class:`boards.link.gateware.LinkTop`: clock, reset at power-on, pins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from compiler.array.design import Design
from compiler.lower.image import Image
from csb_format.files.folders import replaced_folder
from hdl.core.hierarchy import Hierarchy
from hdl.verilog import KIND, VerilogFiles, emit_verilog

from ..board import BOARD_MODULE, Board, clock_verilog
from ..families.pins import INPUTS
from ..link.gateware import LINK_MODULE, LinkTop

__all__ = ["board_verilog", "emit_board"]


TOP = """// The accelerator on the board {title}: {clock_hz} Hz, serial line at {baud} baud.
module {module} (
{ports}
);
{clock}{wires}
    reg [4:0] boot = 5'd0;
    always @(posedge clock) if (!boot[4]) boot <= boot + 5'd1;
    reg rst = 1'b1;
    always @(posedge clock) rst <= !(boot[4] & locked);

    {link} link (.clk(clock), .rst(rst), .rx(rx), .tx(tx), .led({led}));
{outputs}endmodule
"""


def board_verilog(board: Board) -> str:
    """Verilog of the board's top module."""
    return TOP.format(
        title=board.title,
        clock_hz=board.clock_hz,
        baud=board.baud,
        module=BOARD_MODULE,
        clock=clock_verilog(board),
        link=LINK_MODULE,
        ports=",\n".join(f"    {_direction(s)} wire {s}" for s in board.signals),
        led=_led(board),
        wires="    wire lit;\n" if _active_low(board) else "",
        outputs="".join(_outputs(board)),
    )


def _direction(signal: str) -> str:
    return "input " if signal in INPUTS else "output"


def _active_low(board: Board) -> bool:
    return "led" in board.pins and board.pins["led"].active_low


def _led(board: Board) -> str:
    """What the link's light drives: nothing where the board has none."""
    return "lit" if _active_low(board) else "led" if "led" in board.signals else ""


def _outputs(board: Board) -> Iterator[str]:
    """Outputs that are not the link's own."""
    if _active_low(board):
        yield "    assign led = !lit;\n"
    for name in board.held:
        yield f"    assign {name} = 1'b{board.pins[name].level};\n"


def emit_board(board: Board, design: Design, image: Image, folder: Path) -> VerilogFiles:
    """Write all Verilog of a board with a serial link, and the memory images.

    Returns
    -------
    VerilogFiles
        ``sources`` starts with the board's top.
    """

    def link(design: Design, image: Image | None, hierarchy: Hierarchy) -> LinkTop:
        return LinkTop(design, image, board.clock_hz, board.baud, hierarchy)

    with replaced_folder(folder, KIND) as new:
        files = emit_verilog(design, new, image, top=link, name=LINK_MODULE)
        (new / f"{BOARD_MODULE}.v").write_text(board_verilog(board), encoding="utf-8")
    return VerilogFiles(folder, (f"{BOARD_MODULE}.v", *files.sources), files.images)
