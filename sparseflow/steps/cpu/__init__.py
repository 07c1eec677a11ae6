"""What `sparseflow cpu` does: run, time and plan a packed model on this processor."""
