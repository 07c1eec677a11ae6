"""What ran against what should have run."""
