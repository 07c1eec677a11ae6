"""A packed model on a CPU, in exact integers and in float."""
