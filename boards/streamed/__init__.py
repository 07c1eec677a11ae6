"""Designs whose matrices lie in a board's memory outside: how fast they are, and their cells."""

from sparseflow_rooms import check

check("hdl", "sim")
