"""The command line."""

from sparseflow_rooms import check

check("csb_format", "compiler")
