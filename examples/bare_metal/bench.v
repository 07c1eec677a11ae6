// Clock, reset, and the end of the program in the machine beside it: 0 is right.
`timescale 1ns/1ps
module bench #(parameter MOST = 300000);  // cycles
    reg clk = 0, resetn = 0;
    wire done;
    wire [31:0] verdict;
    integer cycles = 0;
    always #5 clk = !clk;
    machine dut (.clk(clk), .resetn(resetn), .done(done), .verdict(verdict));
    always @(negedge clk) begin
        cycles = cycles + 1;
        if (cycles == 8) resetn = 1;
        if (cycles == MOST) begin
            $display("FAIL: no end");
            $finish;
        end else if (resetn && done === 1) begin
            if (verdict == 0) $display("PASS after %0d cycles", cycles);
            else $display("FAIL: the program ended with %0d", verdict);
            $finish;
        end
    end
endmodule
