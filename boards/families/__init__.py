"""Families of devices, one object each: parts, clock, constraints, flow."""
