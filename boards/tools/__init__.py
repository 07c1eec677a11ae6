"""Synthesis and other programs, run and read."""
