"""Scores on labelled data, and what they are of."""
