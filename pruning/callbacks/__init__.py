"""Callbacks of other people's training loops, each behind an extra of its own."""
