"""The screen unit: the largest logits of a head in planes, proven, beside the array."""
