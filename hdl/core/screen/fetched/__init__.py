"""A screen unit whose planes lie in a memory outside."""
