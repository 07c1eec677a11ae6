"""Output layers whose largest logits are found from few bits a weight, and proven."""
