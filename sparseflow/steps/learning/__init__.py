"""What ``sparseflow adapt`` does: a packed model goes on learning in integers."""
