"""The accelerator in Amaranth: core, buses, matrices from DRAM, and the Verilog of each."""

from sparseflow_rooms import check

check("csb_format", "compiler")
