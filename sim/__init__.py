"""Simulators, what they gave against what the models say, and regressions."""

from sparseflow_rooms import check

check("csb_format", "compiler", "hdl")
