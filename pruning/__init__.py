"""Bank-balanced pruning and quantisation of PyTorch layers (the only room that knows torch)."""
