"""Commands that study and search."""
