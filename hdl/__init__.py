"""The accelerator in Amaranth: its blocks, its program, the compiler and the Verilog."""
