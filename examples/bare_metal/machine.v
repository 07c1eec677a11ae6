// A machine without a framework: PicoRV32, its RAM, an accelerator, and the memory of its models.
//
// 0000_0000  RAM, program.hex
// 4000_0000  the accelerator's registers
// 5000_0000  streams: push, push last, waiting, pop; the interrupt
// 6000_0000  the end: 0 is right
// 8000_0000  models, model.hex, for the accelerator alone
module machine #(parameter RAM_BITS = 14, MODEL_BITS = 16) ( // of the numbers of their words
    input  wire clk,
    input  wire resetn,
    output reg  done,
    output reg  [31:0] verdict
);
    wire valid, instr, axi_ready;
    wire [31:0] addr, wdata, axi_rdata;
    wire [3:0] wstrb;
    reg ready;
    wire at_ram = addr[31:28] == 0, at_registers = addr[31:28] == 4;
    wire at_streams = addr[31:28] == 5, at_end = addr[31:28] == 6;
    reg [31:0] ram_word, kept_word;
    reg told;
    wire [31:0] stream_word = addr[3:2] == 3 ? kept_word : {31'd0, told};
    picorv32 #(.STACKADDR(4 << RAM_BITS), .ENABLE_MUL(1), .ENABLE_COUNTERS(0)) cpu (
        .clk(clk), .resetn(resetn), .mem_valid(valid), .mem_instr(instr),
        .mem_ready(at_registers ? axi_ready : ready), .mem_addr(addr), .mem_wdata(wdata),
        .mem_wstrb(wstrb),
        .mem_rdata(at_registers ? axi_rdata : at_ram ? ram_word : stream_word),
        .irq(32'd0), .pcpi_wr(1'b0), .pcpi_rd(32'd0), .pcpi_wait(1'b0), .pcpi_ready(1'b0)
    );

    // RAM and streams answer a cycle later
    reg [31:0] ram [0:(1 << RAM_BITS) - 1];
    initial $readmemh("program.hex", ram);
    wire [RAM_BITS-1:0] at = addr[RAM_BITS+1:2];
    integer i;
    always @(posedge clk) begin
        ram_word <= ram[at];
        for (i = 0; i < 4; i = i + 1)
            if (valid && at_ram && wstrb[i]) ram[at][8 * i +: 8] <= wdata[8 * i +: 8];
    end

    reg [31:0] kept [0:4095];  // what has come on m_axis, an answer at most
    reg [11:0] head, tail;
    wire pushing = valid && at_streams && wstrb != 0 && !ready;
    wire s_ready, m_valid, irq;
    wire [31:0] m_data;
    always @(posedge clk) begin
        kept_word <= kept[tail];
        if (m_valid) kept[head] <= m_data;
    end
    always @(posedge clk) begin
        told <= addr[4] ? irq : head != tail;
        ready <= resetn && valid && !ready && (at_ram || at_streams && (wstrb == 0 || s_ready));
        if (valid && !ready && at_streams && wstrb == 0 && addr[4:2] == 3) tail <= tail + 1;
        if (m_valid) head <= head + 1;
        if (valid && at_end && wstrb != 0) begin
            done <= 1;
            verdict <= wdata;
        end
        if (!resetn) begin
            head <= 0;
            tail <= 0;
            done <= 0;
            verdict <= 0;
        end
    end

    // models: bursts of whole beats, one after the other
    reg [63:0] models [0:(1 << MODEL_BITS) - 1];
    initial $readmemh("model.hex", models);
    wire ar_valid;
    wire [39:0] ar_addr;
    wire [7:0] ar_len;
    reg busy;
    reg [63:0] model_word;
    reg [MODEL_BITS-1:0] beat;
    reg [7:0] left;
    wire [MODEL_BITS-1:0] next = busy ? beat + 1'b1 : ar_addr[MODEL_BITS+2:3];
    always @(posedge clk) begin
        model_word <= models[next];
        beat <= next;
        left <= busy ? left - 8'd1 : ar_len;
        busy <= resetn && (busy ? left != 0 : ar_valid);
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
        .m_axi_arready(!busy), .m_axi_rid(1'b0), .m_axi_rdata(model_word), .m_axi_rresp(2'd0),
        .m_axi_rlast(left == 0), .m_axi_rvalid(busy), .m_axi_rready()
    );
endmodule
