"""What memories give, held against what they should."""
