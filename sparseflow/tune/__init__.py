"""Studies of what makes arrays and engines fast, and the search for the best of them."""
