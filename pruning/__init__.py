"""Bank-balanced pruning and quantisation of PyTorch layers (the only room that knows torch)."""

from sparseflow_rooms import check

check("csb_format")
