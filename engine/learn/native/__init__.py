"""Training in C: what ``engine/c/learn`` takes, and passes of layers that use it."""
