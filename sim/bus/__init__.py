"""Simulation of the AXI ports."""
