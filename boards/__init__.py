"""Boards: what fits which, bitstreams and projects, the serial link, the driver."""

from sparseflow_rooms import check

check("csb_format", "compiler")
