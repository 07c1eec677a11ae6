"""Boards: what fits which, bitstreams and projects, the serial link, the driver."""
