from __future__ import annotations

import re
from pathlib import Path

import pytest

from boards.build.top import Port, top_ports
from compiler.array.design import Design
from hdl.verilog import VerilogFiles, emit_verilog

# M, N, E, row groups; matrix, vector, slots, cells, output depth; index, value, act bits
OTHERS = [
    Design(8, 2, 2, 3, 9, 8, 3, 5, 5, 2, 12, 12, program_depth=8),
    Design(4, 1, 1, 5, 10, 16, 2, 7, 9, 4, 4, 6, program_depth=8),
]


def emitted(files: VerilogFiles) -> set[tuple[str, str, int]]:
    """Direction, name and width of the ports of the first module of the first file."""
    text = files.paths[0].read_text().partition("endmodule")[0]
    assert re.search(r"^module sparseflow\(", text, re.MULTILINE)
    declared = re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+);", text, re.MULTILINE)
    return {(direction, name, int(high or 0) + 1) for direction, high, name in declared}


def as_set(ports: tuple[Port, ...]) -> set[tuple[str, str, int]]:
    return {(port.direction, port.name, port.width) for port in ports}


def test_ports_are_those_of_the_verilog(design: Design, files: VerilogFiles) -> None:
    ports = top_ports(design)
    assert as_set(ports) == emitted(files)
    assert len(ports) == 14


@pytest.mark.parametrize("design", OTHERS, ids=lambda d: f"M{d.pes}-N{d.lanes}-E{d.units}")
def test_ports_follow_the_design(design: Design, tmp_path: Path) -> None:
    assert as_set(top_ports(design)) == emitted(emit_verilog(design, tmp_path / "verilog"))


def test_every_port_has_its_own_meaning(design: Design) -> None:
    meanings = [port.meaning for port in top_ports(design)]
    assert len(set(meanings)) == len(meanings)
    assert not any("{" in meaning for meaning in meanings)


def test_meaning_says_where_fields_lie() -> None:
    ports = {port.name: port for port in top_ports(OTHERS[0])}
    assert re.search(
        r"bit 0 one element of x for each bank \(2 x 12 bits.*; bit 24 1 on all beats",
        ports["frames__payload"].meaning,
    )
    assert re.search(
        r"bit 0 hidden .*\(2 x 12 bits.* bit 24 cell .*\(2 x 14 bits.*; bit 52 1 on the last",
        ports["states__payload"].meaning,
    )


def test_port_reads_as_in_verilog() -> None:
    assert str(Port("frames__payload", "input", 25, "")) == "input [24:0] frames__payload"
    assert str(Port("halted", "output", 1, "")) == "output halted"
