"""What ran against what should have run."""

from sparseflow_rooms import check

check("engine")
