// One port and an output register: data follows its address by two cycles.
// While a word is written none is read. Hardware has no image at start, only simulators do: the
// memory is loaded before it is used.
module sparseflow_ram_single #(
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
    (* ram_style = "huge" *) reg [WIDTH-1:0] cells [0:DEPTH-1];
    reg [WIDTH-1:0] word;
`ifndef SYNTHESIS
    integer i;
    initial begin
        for (i = 0; i < DEPTH; i = i + 1) cells[i] = {WIDTH{1'b0}};
        if (INIT != "") $readmemh(INIT, cells);
        word = {WIDTH{1'b0}};
        read_data = {WIDTH{1'b0}};
    end
`endif
    wire [ADDR-1:0] addr = write_en ? write_addr : read_addr;
    always @(posedge clk) begin
        if (write_en) cells[addr] <= write_data;
        else word <= cells[addr];
        read_data <= word;
    end
endmodule
