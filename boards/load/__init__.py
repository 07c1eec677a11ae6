"""From a folder of a build into the board: what is in it, the loader, the board's port."""

from sparseflow_rooms import check

check("sim")
