"""Cases as processes, and what they run."""
