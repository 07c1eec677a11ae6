"""A packed model behind HTTP: the Open Inference Protocol, streams with their states kept."""
