"""A bench as a user writes it: plain Verilog on Icarus, the delivered files as they are."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from compiler.abi.frames import Stimulus, frame_packets
from compiler.abi.identity import AXI_MODULE
from compiler.abi.registers import REGISTERS
from compiler.abi.states import outcome_of
from hdl.bus.accelerator import Accelerator
from hdl.verilog import emit_verilog

BENCH = """`timescale 1ns/1ps
module bench;
    reg clk = 0, resetn = 0, awvalid = 0, wvalid = 0, tvalid = 0;
    reg [31:0] awaddr = 0, wdata = 0;
    reg [64:0] words [0:{last}];  // tlast, tdata
    wire awready, wready, bvalid, tready, out_valid, out_last;
    wire [63:0] out;
    integer at = 0, ends = 0, log;
    always #5 clk = !clk;
    {module} dut (
        .aclk(clk), .aresetn(resetn),
        .s_axi_awaddr(awaddr[11:0]), .s_axi_awprot(3'd0), .s_axi_awvalid(awvalid),
        .s_axi_awready(awready), .s_axi_wdata(wdata), .s_axi_wstrb(4'd15), .s_axi_wvalid(wvalid),
        .s_axi_wready(wready), .s_axi_bvalid(bvalid), .s_axi_bready(1'b1),
        .s_axi_araddr(12'd0), .s_axi_arprot(3'd0), .s_axi_arvalid(1'b0), .s_axi_rready(1'b1),
        .s_axis_tdata(words[at][63:0]), .s_axis_tlast(words[at][64]), .s_axis_tvalid(tvalid),
        .s_axis_tready(tready), .m_axis_tdata(out), .m_axis_tlast(out_last),
        .m_axis_tvalid(out_valid), .m_axis_tready(1'b1)
    );
    task write(input [31:0] address, input [31:0] data);
        begin
            @(negedge clk) awaddr = address; wdata = data; awvalid = 1; wvalid = 1;
            while (awvalid || wvalid) begin
                @(posedge clk) #1;
                if (bvalid) begin awvalid = 0; wvalid = 0; end
            end
        end
    endtask
    // addresses and data are kept valid until they are taken
    reg aw_taken, w_taken;
    always @(posedge clk) begin
        aw_taken = awvalid && awready;
        w_taken = wvalid && wready;
        #2 if (aw_taken) awvalid = 0;
        if (w_taken) wvalid = 0;
    end
    reg taken;
    always @(posedge clk) begin
        taken = tvalid && tready;
        if (out_valid) begin
            $fwrite(log, "%0d %h\\n", out_last, out);
            if (out_last) ends = ends + 1;
        end
        #2 if (taken && at == {last}) tvalid = 0;
        else if (taken) at = at + 1;
        if (ends == {frames}) begin $fclose(log); $finish; end
    end
    initial begin
        $readmemh("words.hex", words);
        log = $fopen("states.txt");
        repeat (4) @(negedge clk);
        resetn = 1;
        repeat (20) @(negedge clk);
        write({frame}, {beats});
        write({start}, {entry});
        repeat (20) @(negedge clk);
        tvalid = 1;
        #2000000 $fatal(1, "no results");
    end
endmodule
"""


def test_a_bench_of_a_user_gets_right_results(make_case: Any, tmp_path: Path) -> None:
    case = make_case(1, (6, 5, 2, 1, 2), (4, 2), (3, 2))
    image, folder = case.image, tmp_path / "rtl"
    files = emit_verilog(image.design, folder, image, top=Accelerator, name=AXI_MODULE)
    packets = frame_packets(Stimulus.of(image, case.sequences), 64)
    lines = [f"{word | (n == len(p) - 1) << 64:x}" for p in packets for n, word in enumerate(p)]
    (tmp_path / "words.hex").write_text("\n".join(lines) + "\n")
    text = BENCH.format(
        module=AXI_MODULE,
        last=len(lines) - 1,
        frames=sum(map(len, case.sequences)),
        frame=REGISTERS["frame"].address,
        beats=image.parts[0].frame_beats,
        start=REGISTERS["start"].address,
        entry=image.parts[0].entry,
    )
    (tmp_path / "bench.v").write_text(text)
    place = f'-DSPARSEFLOW_IMAGES="{folder}"'
    sources = ["bench.v", *(f"rtl/{name}" for name in files.sources)]
    build = ["iverilog", "-g2005", place, "-s", "bench", "-o", "bench.vvp", *sources]
    for command in (build, ["vvp", "-n", "bench.vvp"]):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    got: list[list[int]] = [[]]
    for line in (tmp_path / "states.txt").read_text().splitlines():
        last, word = line.split()
        got[-1].append(int(word, 16))
        if last == "1":
            got.append([])
    comparison = case.compare(outcome_of(image, got[:-1], 64))
    assert comparison.mismatches == 0, comparison.first
    assert any(any(packet) for packet in got)
