"""Simulators, what they gave against what the models say, and regressions."""
