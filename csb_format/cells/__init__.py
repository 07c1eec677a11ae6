"""Recurrent cells in integers."""
