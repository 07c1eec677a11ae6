"""Training with a board: what its array computes, and what the host does beside it."""

from sparseflow_rooms import check

check("engine")
