"""Jobs on simulators."""
