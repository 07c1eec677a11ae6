"""Training in integers: what it learns beside float training of the same masks, and how fast."""
