// The machine on a ULX3S: its 25 MHz, a reset of its own; led 0 is the end, led 1 that all was right.
module ulx3s (
    input  wire clk,
    output wire [1:0] led
);
    reg [7:0] waited = 0;
    always @(posedge clk) if (!(&waited)) waited <= waited + 8'd1;
    wire done;
    wire [31:0] verdict;
    machine #(.MODEL_BITS(12)) machine (
        .clk(clk), .resetn(&waited), .done(done), .verdict(verdict)
    );
    assign led = {done && verdict == 0, done};
endmodule
