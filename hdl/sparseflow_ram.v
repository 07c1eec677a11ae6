// One write port, one read port with output register: data follows its address by two cycles.
// INIT names a $readmemh image; without one the memory starts at zero.
// A word that is read in the very cycle in which it is written is not to be used: memories are
// loaded while nothing runs. So synthesis need not guard it (no_rw_check), which saves logic.
// WRITE_STAGE, READ_STAGE: a register in front, beside the memory, where wires are long; the
// data then follow their read address by three cycles.
module sparseflow_ram #(
    parameter WIDTH = 1,
    parameter DEPTH = 1,
    parameter ADDR = 1,
    parameter INIT = "",
    parameter WRITE_STAGE = 0,
    parameter READ_STAGE = 0
) (
    input  wire             clk,
    input  wire             write_en,
    input  wire [ADDR-1:0]  write_addr,
    input  wire [WIDTH-1:0] write_data,
    input  wire [ADDR-1:0]  read_addr,
    output reg  [WIDTH-1:0] read_data
);
    (* no_rw_check *) reg [WIDTH-1:0] cells [0:DEPTH-1];
    reg [WIDTH-1:0] word;
    wire en;
    wire [ADDR-1:0] at, from;
    wire [WIDTH-1:0] data;
    integer i;
    generate
        if (WRITE_STAGE) begin : write_stage
            reg kept_en = 1'b0;
            reg [ADDR-1:0] kept_at;
            reg [WIDTH-1:0] kept_data;
            always @(posedge clk) begin
                kept_en <= write_en;
                kept_at <= write_addr;
                kept_data <= write_data;
            end
            assign {en, at, data} = {kept_en, kept_at, kept_data};
        end else begin : direct_write
            assign {en, at, data} = {write_en, write_addr, write_data};
        end
        if (READ_STAGE) begin : read_stage
            reg [ADDR-1:0] kept_from;
            always @(posedge clk) kept_from <= read_addr;
            assign from = kept_from;
        end else begin : direct_read
            assign from = read_addr;
        end
    endgenerate
    initial begin
        for (i = 0; i < DEPTH; i = i + 1) cells[i] = {WIDTH{1'b0}};
        if (INIT != "") $readmemh(INIT, cells);
        word = {WIDTH{1'b0}};
        read_data = {WIDTH{1'b0}};
    end
    always @(posedge clk) begin
        if (en) cells[at] <= data;
        word <= cells[from];
        read_data <= word;
    end
endmodule
