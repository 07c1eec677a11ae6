"""Suites, their hardware and their baselines."""
