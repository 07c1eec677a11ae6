"""ONNX: a graph walked from its input to its output, or its matrices alone."""
