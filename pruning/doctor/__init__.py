"""What an array would make of a model as it is."""

from sparseflow_rooms import check

check("compiler")
