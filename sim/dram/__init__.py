"""Simulation of matrices from memory."""
