"""Matrices that are read from memory while they are used."""
