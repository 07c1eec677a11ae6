"""The guides, and what makes a site of them."""
