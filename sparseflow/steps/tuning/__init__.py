"""How a fine-tuning runs."""
