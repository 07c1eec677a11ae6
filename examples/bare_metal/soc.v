// A machine for simulation: PicoRV32, its RAM, an accelerator, and the memory of its models.
//
// 0000_0000  RAM of 64 KiB, program.hex
// 4000_0000  the accelerator's registers
// 5000_0000  streams: push, push last, waiting, pop; the interrupt
// 6000_0000  the end: 0 is PASS
// 8000_0000  models, model.hex, for the accelerator alone
`timescale 1ns/1ps
module soc;
    reg clk = 0, resetn = 0;
    always #5 clk = !clk;
    initial begin
        repeat (8) @(negedge clk);
        resetn = 1;
        repeat (300000) @(negedge clk);
        $display("FAIL: no end");
        $finish;
    end

    wire valid, instr, axi_ready;
    wire [31:0] addr, wdata, axi_rdata;
    wire [3:0] wstrb;
    reg ready;
    reg [31:0] rdata;
    wire at_ram = addr[31:28] == 0, at_registers = addr[31:28] == 4;
    wire at_streams = addr[31:28] == 5, at_end = addr[31:28] == 6;
    picorv32 #(.STACKADDR(32'h10000), .ENABLE_MUL(1), .ENABLE_COUNTERS(0)) cpu (
        .clk(clk), .resetn(resetn), .mem_valid(valid), .mem_instr(instr),
        .mem_ready(at_registers ? axi_ready : ready), .mem_addr(addr), .mem_wdata(wdata),
        .mem_wstrb(wstrb), .mem_rdata(at_registers ? axi_rdata : rdata), .irq(32'd0), .pcpi_wr(1'b0),
        .pcpi_rd(32'd0), .pcpi_wait(1'b0), .pcpi_ready(1'b0)
    );

    // RAM, streams and the end answer a cycle later
    reg [31:0] ram [0:16383];
    initial $readmemh("program.hex", ram);
    reg [31:0] kept [0:4095];  // what has come on m_axis
    reg [11:0] head = 0, tail = 0;
    wire pushing = valid && at_streams && wstrb != 0 && !ready;
    wire s_ready, m_valid, irq;
    wire [31:0] m_data;
    integer i;
    always @(posedge clk) begin
        ready <= 0;
        if (valid && !ready) begin
            if (at_ram) begin
                rdata <= ram[addr[15:2]];
                for (i = 0; i < 4; i = i + 1)
                    if (wstrb[i]) ram[addr[15:2]][8 * i +: 8] <= wdata[8 * i +: 8];
                ready <= 1;
            end
            if (at_streams) begin
                ready <= wstrb == 0 || s_ready;
                rdata <= addr[4] ? irq : addr[3:2] == 2 ? head != tail : kept[tail];
                if (wstrb == 0 && addr[4:2] == 3) tail <= tail + 1;
            end
            if (at_end && wstrb != 0) begin
                if (wdata == 0) $display("PASS after %0d cycles", $time / 10);
                else $display("FAIL: %0d", wdata);
                $finish;
            end
        end
        if (m_valid) begin
            kept[head] <= m_data;
            head <= head + 1;
        end
    end

    // models: bursts of whole beats, one after the other
    reg [63:0] models [0:65535];
    initial $readmemh("model.hex", models);
    wire ar_valid;
    wire [39:0] ar_addr;
    wire [7:0] ar_len;
    reg busy = 0;
    reg [15:0] beat;
    reg [7:0] left;
    always @(posedge clk) begin
        if (ar_valid && !busy) begin
            busy <= 1;
            beat <= ar_addr[18:3];
            left <= ar_len;
        end else if (busy) begin
            beat <= beat + 1;
            left <= left - 1;
            if (left == 0) busy <= 0;
        end
    end

    wire awvalid, awready, wvalid, wready, bvalid, bready, arvalid, arready, rvalid, rready;
    wire [31:0] awaddr, araddr, axi_wdata, axi_r;
    wire [2:0] awprot, arprot;
    wire [3:0] axi_wstrb;
    picorv32_axi_adapter adapter (
        .clk(clk), .resetn(resetn), .mem_valid(valid && at_registers), .mem_instr(instr),
        .mem_ready(axi_ready), .mem_addr(addr), .mem_wdata(wdata), .mem_wstrb(wstrb),
        .mem_rdata(axi_rdata), .mem_axi_awvalid(awvalid), .mem_axi_awready(awready),
        .mem_axi_awaddr(awaddr), .mem_axi_awprot(awprot), .mem_axi_wvalid(wvalid),
        .mem_axi_wready(wready), .mem_axi_wdata(axi_wdata), .mem_axi_wstrb(axi_wstrb),
        .mem_axi_bvalid(bvalid), .mem_axi_bready(bready), .mem_axi_arvalid(arvalid),
        .mem_axi_arready(arready), .mem_axi_araddr(araddr), .mem_axi_arprot(arprot),
        .mem_axi_rvalid(rvalid), .mem_axi_rready(rready), .mem_axi_rdata(axi_r)
    );
    sparseflow_dram accelerator (
        .aclk(clk), .aresetn(resetn), .irq(irq),
        .s_axi_awaddr(awaddr[11:0]), .s_axi_awprot(awprot), .s_axi_awvalid(awvalid),
        .s_axi_awready(awready), .s_axi_wdata(axi_wdata), .s_axi_wstrb(axi_wstrb),
        .s_axi_wvalid(wvalid), .s_axi_wready(wready), .s_axi_bresp(), .s_axi_bvalid(bvalid),
        .s_axi_bready(bready), .s_axi_araddr(araddr[11:0]), .s_axi_arprot(arprot),
        .s_axi_arvalid(arvalid), .s_axi_arready(arready), .s_axi_rdata(axi_r), .s_axi_rresp(),
        .s_axi_rvalid(rvalid), .s_axi_rready(rready),
        .s_axis_tdata(wdata), .s_axis_tlast(addr[3:2] == 1), .s_axis_tvalid(pushing),
        .s_axis_tready(s_ready), .m_axis_tdata(m_data), .m_axis_tlast(), .m_axis_tvalid(m_valid),
        .m_axis_tready(1'b1),
        .m_axi_arid(), .m_axi_araddr(ar_addr), .m_axi_arlen(ar_len), .m_axi_arsize(),
        .m_axi_arburst(), .m_axi_arcache(), .m_axi_arprot(), .m_axi_arvalid(ar_valid),
        .m_axi_arready(!busy), .m_axi_rid(1'b0), .m_axi_rdata(models[beat]), .m_axi_rresp(2'd0),
        .m_axi_rlast(left == 0), .m_axi_rvalid(busy), .m_axi_rready()
    );
endmodule
