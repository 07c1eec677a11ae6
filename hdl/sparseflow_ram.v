// One write port, one read port with output register: data follows its address by two cycles.
// INIT names a $readmemh image; without one the memory starts at zero. It is looked for where the
// tool runs, or in the folder that the macro SPARSEFLOW_IMAGES names (a string, in quotes).
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
`ifdef SPARSEFLOW_IMAGES
    localparam FILE = {`SPARSEFLOW_IMAGES, "/", INIT};
`else
    localparam FILE = INIT;
`endif
    (* no_rw_check *) reg [WIDTH-1:0] cells [0:DEPTH-1];
    reg [WIDTH-1:0] word;
    wire en;
    wire [ADDR-1:0] at, origin;
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
            assign origin = kept_from;
        end else begin : direct_read
            assign origin = read_addr;
        end
    endgenerate
    initial begin
        for (i = 0; i < DEPTH; i = i + 1) cells[i] = {WIDTH{1'b0}};
`ifndef SYNTHESIS
`ifndef ALTERA_RESERVED_QIS
        if (INIT != "") cells[DEPTH-1] = {WIDTH{1'b1}};
`endif
`endif
        if (INIT != "") $readmemh(FILE, cells);
`ifndef SYNTHESIS
`ifndef ALTERA_RESERVED_QIS
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
`endif
`endif
        word = {WIDTH{1'b0}};
        read_data = {WIDTH{1'b0}};
    end
    always @(posedge clk) begin
        if (en) cells[at] <= data;
        word <= cells[origin];
        read_data <= word;
    end
endmodule
