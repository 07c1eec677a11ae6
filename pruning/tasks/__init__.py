"""Data, networks, training and recipes for whole tasks."""
