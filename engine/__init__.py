"""A packed model on a CPU, in exact integers and in float."""

from sparseflow_rooms import check

check("csb_format")
