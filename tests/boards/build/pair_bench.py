"""A bench around two accelerators in one system, as FuseSoC simulates it on Icarus."""

from __future__ import annotations

from pathlib import Path

from compiler.abi.registers import REGISTERS

CORE = """CAPI=2:
name: "acme:demo:bench:1.0"
filesets:
  tb:
    depend: ["acme:demo:PAIR"]
    files:
      - bench.v
    file_type: verilogSource
  words:
    files:
      - vowels.hex: {copyto: vowels.hex}
      - keywords.hex: {copyto: keywords.hex}
MODELS
    file_type: user
targets:
  default:
    filesets: [tb, words]
    toplevel: bench
    flow: sim
    flow_options:
      tool: icarus
      iverilog_options: [-g2005]
"""
VERILOG = """`timescale 1ns/1ps
module bench;
    reg clk = 0, resetn = 0;
    reg [1:0] awvalid = 0, wvalid = 0, tvalid = 0;
    reg [31:0] awaddr = 0, wdata = 0;
    reg [64:0] first [0:VOWELS], second [0:KEYWORDS];  // tlast, tdata
    wire [1:0] awready, wready, bvalid, tready, out_valid, out_last;
    wire [127:0] out;
    integer at [0:1], ends [0:1], log [0:1], last [0:1], frames [0:1], n;
    wire [64:0] one = first[at[0]], two = second[at[1]];
    always #5 clk = !clk;
    PAIR dut (PORTS
        .aclk(clk), .aresetn(resetn),
        .s_axi_awaddr(awaddr[11:0]), .s_axi_awprot(3'd0), .s_axi_awvalid(awvalid),
        .s_axi_awready(awready), .s_axi_wdata(wdata), .s_axi_wstrb(4'd15), .s_axi_wvalid(wvalid),
        .s_axi_wready(wready), .s_axi_bvalid(bvalid), .s_axi_bready(2'd3),
        .s_axi_araddr(12'd0), .s_axi_arprot(3'd0), .s_axi_arvalid(2'd0), .s_axi_rready(2'd3),
        .s_axis_tdata({two[63:0], one[63:0]}), .s_axis_tlast({two[64], one[64]}),
        .s_axis_tvalid(tvalid), .s_axis_tready(tready),
        .m_axis_tdata(out), .m_axis_tlast(out_last), .m_axis_tvalid(out_valid),
        .m_axis_tready(2'd3)
    );
    reg [1:0] aw_taken, w_taken, taken;
    always @(posedge clk) begin
        aw_taken = awvalid & awready;
        w_taken = wvalid & wready;
        taken = tvalid & tready;
        for (n = 0; n < 2; n = n + 1) if (out_valid[n]) begin
            $fwrite(log[n], "%0d %h\\n", out_last[n], out[64*n +: 64]);
            if (out_last[n]) ends[n] = ends[n] + 1;
        end
        #2 awvalid = awvalid & ~aw_taken;
        wvalid = wvalid & ~w_taken;
        for (n = 0; n < 2; n = n + 1) if (taken[n]) begin
            if (at[n] == last[n]) tvalid[n] = 0;
            else at[n] = at[n] + 1;
        end
        if (ends[0] >= frames[0] && ends[1] >= frames[1]) begin
            $fclose(log[0]); $fclose(log[1]); $finish;
        end
    end
    task write(input integer to, input [31:0] address, input [31:0] data);
        begin
            @(negedge clk) awaddr = address; wdata = data; awvalid[to] = 1; wvalid[to] = 1;
            @(posedge clk) while (!bvalid[to]) @(posedge clk);
        end
    endtask
    initial begin
        $readmemh("vowels.hex", first);
        $readmemh("keywords.hex", second);
        log[0] = $fopen("vowels.txt"); log[1] = $fopen("keywords.txt");
        for (n = 0; n < 2; n = n + 1) begin at[n] = 0; ends[n] = 0; end
        last[0] = VOWELS; last[1] = KEYWORDS; frames[0] = FRAMES; frames[1] = FRAMES;
        repeat (4) @(negedge clk);
        resetn = 1;
        repeat (20) @(negedge clk);
WRITES
        repeat (20) @(negedge clk);
        tvalid = 3;
        #2000000 $display("no results");
        $fatal;
    end
endmodule
"""


# Both memories answer a burst after the other, at once.
MEMORY = """
module memory #(parameter BITS = 64, parameter FILE = "") (
    input clk, input [39:0] araddr, input [7:0] arlen, input arvalid, output arready,
    output [BITS-1:0] rdata, output rlast, output rvalid, input rready
);
    reg [BITS-1:0] words [0:8191];
    reg busy = 0;
    reg [12:0] beat;
    reg [7:0] left;
    initial $readmemh(FILE, words);
    assign arready = !busy;
    assign rdata = words[beat];
    assign rlast = left == 0;
    assign rvalid = busy;
    always @(posedge clk)
        if (arvalid && !busy) begin
            busy <= 1; beat <= araddr / (BITS / 8); left <= arlen;
        end else if (busy && rready) begin
            beat <= beat + 1; left <= left - 1; if (left == 0) busy <= 0;
        end
endmodule
"""
PORTS = """
        .m_axi_araddr(araddr), .m_axi_arlen(arlen), .m_axi_arvalid(arvalid),
        .m_axi_arready(arready), .vowels_rdata(r0), .keywords_rdata(r1), .m_axi_rresp(4'd0),
        .m_axi_rlast(rlast), .m_axi_rvalid(rvalid), .m_axi_rready(rready), .irq(irq),"""
WIRES = """
    wire [79:0] araddr;
    wire [15:0] arlen;
    wire [1:0] arvalid, arready, rlast, rvalid, rready, irq;
    wire [63:0] r0;
    wire [127:0] r1;
    memory #(64, "vowels_model.hex") m0 (clk, araddr[39:0], arlen[7:0], arvalid[0], arready[0],
        r0, rlast[0], rvalid[0], rready[0]);
    memory #(128, "keywords_model.hex") m1 (clk, araddr[79:40], arlen[15:8], arvalid[1],
        arready[1], r1, rlast[1], rvalid[1], rready[1]);
    PAIR dut"""


def core(pair: str) -> str:
    """The bench's core file; with ports to memory it brings the models too."""
    names = ("vowels_model.hex", "keywords_model.hex") if pair == "pair_dram" else ()
    models = "\n".join(f"      - {name}: {{copyto: {name}}}" for name in names)
    return CORE.replace("MODELS\n", f"{models}\n" if models else "").replace("PAIR", pair)


def verilog(pair: str, writes: str, last: dict[str, int], frames: int) -> str:
    """The bench: writes of registers, then both packets, until all frames have come."""
    dram = pair == "pair_dram"
    text = VERILOG.replace("    PAIR dut", WIRES) + MEMORY if dram else VERILOG
    text = text.replace("PORTS", PORTS if dram else "").replace("PAIR", pair)
    text = text.replace("WRITES", writes).replace("FRAMES", str(frames))
    for name, beat in last.items():
        text = text.replace(name.upper(), str(beat))
    return text


def write(to: int, values: dict[str, int]) -> str:
    """Lines that write registers of one of the two."""
    return "\n".join(
        f"        write({to}, {REGISTERS[name].address}, 32'd{value});"
        for name, value in values.items()
    )


def packed(words: list[list[int]]) -> list[str]:
    """Beats of packets, ``tlast`` above them, as ``$readmemh`` takes them."""
    return [f"{w | (n == len(p) - 1) << 64:x}" for p in words for n, w in enumerate(p)]


def packets(log: Path) -> list[list[int]]:
    """What the bench has written."""
    got: list[list[int]] = [[]]
    for line in log.read_text().splitlines():
        last, word = line.split()
        got[-1].append(int(word, 16))
        if last == "1":
            got.append([])
    return got[:-1]
