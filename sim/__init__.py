"""Simulation: the integer model, the cycle model, and Verilog held against both."""
