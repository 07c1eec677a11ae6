// What an AXI4 read master must do, and what its memory may do (Arm IHI 0022). Ours: assertions
// about the master, assumptions about the memory; both by the names of public property sets.
`default_nettype none
module axi_read_master #(
    parameter C_AXI_ID_WIDTH = 1,
    parameter C_AXI_DATA_WIDTH = 64,
    parameter C_AXI_ADDR_WIDTH = 32
) (
    input wire i_clk,
    input wire i_axi_reset_n,
    input wire [C_AXI_ID_WIDTH-1:0] i_axi_arid,
    input wire [C_AXI_ADDR_WIDTH-1:0] i_axi_araddr,
    input wire [7:0] i_axi_arlen,
    input wire [2:0] i_axi_arsize,
    input wire [1:0] i_axi_arburst,
    input wire [3:0] i_axi_arcache,
    input wire [2:0] i_axi_arprot,
    input wire i_axi_arvalid,
    input wire i_axi_arready,
    input wire i_axi_rvalid,
    input wire i_axi_rready
);
    localparam SIZE = $clog2(C_AXI_DATA_WIDTH / 8);
    localparam ADDRESS = C_AXI_ID_WIDTH + C_AXI_ADDR_WIDTH + 8 + 3 + 2 + 4 + 3;
    wire [ADDRESS-1:0] address = {i_axi_arid, i_axi_araddr, i_axi_arlen, i_axi_arsize,
        i_axi_arburst, i_axi_arcache, i_axi_arprot};
    wire [16:0] bytes = (17'd1 + i_axi_arlen) << i_axi_arsize;
    wire [16:0] first = {5'd0, i_axi_araddr[11:0]};
    reg known = 1'b0, waits = 1'b0;
    reg [ADDRESS-1:0] before;
    always @(posedge i_clk) begin
        known <= i_axi_reset_n;
        waits <= i_axi_reset_n && i_axi_arvalid && !i_axi_arready;
        before <= address;
    end
    always @* begin
        if (!known) reset_arvalid: assert (!i_axi_arvalid);  // A3.1.2
        if (known && waits) begin  // A3.2.1
            kept_arvalid: assert (i_axi_arvalid);
            kept_address: assert (address == before);
        end
        if (i_axi_arvalid) begin
            within_4k: assert (first + bytes <= 17'd4096);  // A3.4.1
            burst_incr: assert (i_axi_arburst == 2'b01);  // a burst of any length
            size_of_bus: assert (i_axi_arsize == SIZE);  // no narrow transfers
            aligned: assert ((i_axi_araddr & ((1 << SIZE) - 1)) == 0);
            cache: assert (i_axi_arcache[3:2] == 0 || i_axi_arcache[1]);  // A4.4, reserved
        end
        always_taken: assert (i_axi_rready);  // ours: the memory is never made to wait
    end
endmodule

// A memory that answers bursts in order, one `rlast` each, and nothing that nobody asked for.
module axi_read_memory #(
    parameter OUTSTANDING = 1
) (
    input wire i_clk,
    input wire i_axi_reset_n,
    input wire [7:0] i_axi_arlen,
    input wire i_axi_arvalid,
    input wire i_axi_arready,
    input wire i_axi_rid,
    input wire i_axi_rvalid,
    input wire i_axi_rlast,
    input wire i_axi_rready
);
    reg [7:0] lengths [0:OUTSTANDING];
    reg [8:0] held = 0;
    reg [7:0] sent = 0;
    reg known = 1'b0;
    wire asked = i_axi_arvalid && i_axi_arready;
    wire beat = i_axi_rvalid && i_axi_rready;
    wire last = sent == lengths[0];
    wire [8:0] left = held - (beat && last);
    integer n;
    always @(posedge i_clk) begin
        known <= 1'b1;
        held <= left + asked;
        if (beat) sent <= last ? 8'd0 : sent + 8'd1;
        if (beat && last)
            for (n = 0; n < OUTSTANDING; n = n + 1) lengths[n] <= lengths[n + 1];
        if (asked) lengths[left] <= i_axi_arlen;
        if (!i_axi_reset_n) begin
            held <= 0;
            sent <= 0;
        end
    end
    always @* begin
        assume (known || !i_axi_reset_n);
        if (i_axi_rvalid) begin
            assume (held != 0);
            assume (i_axi_rlast == last);
            assume (!i_axi_rid);
        end
    end
    // ours: no more bursts than the port was made for
    always @* if (i_axi_reset_n) no_more: assert (held <= OUTSTANDING);
endmodule
