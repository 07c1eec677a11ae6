"""What a design that trains has beside the forward pass: a unit for each PE, and who leads them."""
