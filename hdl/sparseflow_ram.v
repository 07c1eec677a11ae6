// One write port, one read port with output register: data follows its address by two cycles.
// INIT names a $readmemh image; without one the memory starts at zero.
// A word that is read in the very cycle in which it is written is not to be used: memories are
// loaded while nothing runs. So synthesis need not guard it (no_rw_check), which saves logic.
module sparseflow_ram #(
    parameter WIDTH = 1,
    parameter DEPTH = 1,
    parameter ADDR = 1,
    parameter INIT = ""
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
    integer i;
    initial begin
        for (i = 0; i < DEPTH; i = i + 1) cells[i] = {WIDTH{1'b0}};
        if (INIT != "") $readmemh(INIT, cells);
        word = {WIDTH{1'b0}};
        read_data = {WIDTH{1'b0}};
    end
    always @(posedge clk) begin
        if (write_en) cells[write_addr] <= write_data;
        word <= cells[read_addr];
        read_data <= word;
    end
endmodule
