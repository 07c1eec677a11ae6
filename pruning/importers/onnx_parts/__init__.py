"""ONNX: the array's part cut out of a larger graph."""
