"""From a board and a model to a bitstream or a vendor's project."""

from sparseflow_rooms import check

check("hdl")
