"""Models, matrices and memory images as files."""
