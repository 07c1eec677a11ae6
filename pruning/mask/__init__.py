"""Masks: which weights stay, in any pattern, while a network trains."""
