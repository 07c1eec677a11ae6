"""Synthesis and other programs, run and read."""

from sparseflow_rooms import check

check("hdl", "sim")
