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
`ifdef SPARSEFLOW_IMAGES
    localparam FILE = {`SPARSEFLOW_IMAGES, "/", INIT};
`else
    localparam FILE = INIT;
`endif
    (* ram_style = "huge" *) reg [WIDTH-1:0] cells [0:DEPTH-1];
    reg [WIDTH-1:0] word;
`ifndef SYNTHESIS
    integer i;
    initial begin
        for (i = 0; i < DEPTH; i = i + 1) cells[i] = {WIDTH{1'b0}};
        if (INIT != "") cells[DEPTH-1] = {WIDTH{1'b1}};
        if (INIT != "") $readmemh(FILE, cells);
        // A run with empty memories must not look like a result: the last word tells whether
        // the image is there, and is read again where it may well be all ones.
        if (INIT != "" && cells[DEPTH-1] == {WIDTH{1'b1}}) begin
            cells[DEPTH-1] = {WIDTH{1'b0}};
            $readmemh(FILE, cells);
            if (cells[DEPTH-1] == {WIDTH{1'b0}}) begin
                $display("%m: memory image %0s is missing or damaged: run where it lies, or", FILE);
                $display("define SPARSEFLOW_IMAGES as its folder, in quotes");
`ifdef VERILATOR
                $stop;  // ends with an error; $fatal is not Verilog-2005 to Verilator
`else
                $fatal(1);
`endif
            end
        end
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
