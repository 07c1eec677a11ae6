"""Steps of ``sparseflow regress``: what is run and accepted, what is written."""
