"""Proofs with property sets: one that holds, one that does not, and what is no set."""

from __future__ import annotations

from pathlib import Path

import pytest

from hdl.verilog import VerilogFiles
from sim.check.proof import ProofError
from sim.check.properties import Listener, prove_set

# A register of a stream; the number of its beats is what makes an induction hard.
TOP = """module slice (input aclk, input aresetn, input s_tvalid, output s_tready,
    input [3:0] s_tdata, output reg m_tvalid, input m_tready, output reg [3:0] m_tdata);
    assign s_tready = !m_tvalid || {ready};
    initial m_tvalid = 0;
    always @(posedge aclk) begin
        if (s_tready) begin m_tvalid <= s_tvalid; m_tdata <= s_tdata; end
        if (!aresetn) m_tvalid <= 0;
    end
endmodule
"""
SET = """module held #(parameter W = 8) (input wire i_aclk, i_aresetn, // i_comment
    input wire i_tvalid, i_tready, input wire [W-1:0] i_tdata, i_tkeep);
    reg waits = 0;
    reg [W-1:0] before;
    always @(posedge i_aclk) waits <= i_aresetn && i_tvalid && !i_tready;
    always @(posedge i_aclk) before <= i_tdata;
    always @* if (waits) assert (i_tvalid && i_tdata == before);
    always @* assert (&i_tkeep);
endmodule
"""
PORTS = {
    "aclk": ("in", 1),
    "aresetn": ("in", 1),
    "s_tvalid": ("in", 1),
    "s_tready": ("out", 1),
    "s_tdata": ("in", 4),
    "m_tvalid": ("out", 1),
    "m_tready": ("in", 1),
    "m_tdata": ("out", 4),
}


def made(folder: Path, ready: str, text: str = SET) -> tuple[VerilogFiles, Listener]:
    (folder / "slice.v").write_text(TOP.format(ready=ready))
    (folder / "set.v").write_text(text)
    given = Listener("held", folder / "set.v", "m", "i_", {"W": 4, "unknown": 1})
    return VerilogFiles(folder, ("slice.v",), ()), given


def test_a_set_that_holds_is_proved(tmp_path: Path) -> None:
    files, given = made(tmp_path, "m_tready", SET + "`endif\n")
    done = prove_set(files, PORTS, [given])
    assert (done.assertions, done.assumptions) == (2, 1)


def test_one_that_does_not_is_told_with_its_cycle(tmp_path: Path) -> None:
    files, given = made(tmp_path, "s_tvalid")
    with pytest.raises(ProofError, match="1 of 2 assertions fail, the first 3 cycles after"):
        prove_set(files, PORTS, [given])


def test_what_is_no_verilog_is_told(tmp_path: Path) -> None:
    files, given = made(tmp_path, "m_tready", SET.replace("always @*", "alwais @*"))
    with pytest.raises(ProofError, match=r"Yosys does not read it: .*syntax error"):
        prove_set(files, PORTS, [given])


def test_a_file_without_the_set_is_told(tmp_path: Path) -> None:
    files, given = made(tmp_path, "m_tready", "module other; endmodule")
    with pytest.raises(ProofError, match="no module held"):
        prove_set(files, PORTS, [given])
