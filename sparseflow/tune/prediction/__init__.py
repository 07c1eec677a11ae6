"""What learns to predict cells, clock and time: designs drawn, counted, fitted, judged."""
