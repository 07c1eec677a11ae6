"""What a model knows of the world around it: scales of raw features, names of classes."""
