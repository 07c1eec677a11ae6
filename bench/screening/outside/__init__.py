"""Screen units whose planes lie in a memory outside."""
