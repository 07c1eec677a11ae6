"""Element-wise lanes, one kind of each cell."""
