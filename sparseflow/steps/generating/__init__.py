"""From a packed model to Verilog: the design, its top, the folder."""
