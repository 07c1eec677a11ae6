"""Frames of several streams that are worked on together: a word of the matrices for all."""
