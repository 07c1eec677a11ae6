"""The accelerator in Amaranth: core, buses, matrices from DRAM, and the Verilog of each."""
