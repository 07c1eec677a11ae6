"""The commands that made what a page shows."""
