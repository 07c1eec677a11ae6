"""Entries of packed matrices: gathered, scattered, and as a stream of bits."""
