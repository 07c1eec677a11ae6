"""Pruning and fine-tuning from beginning to end."""
